//! A release, in full.

use rac_model::{AppName, AppSpec, Digest, Protocol, Release, WakeFor};

use crate::output::text::one_line;
use crate::output::time::{ago, bytes, span};
use crate::output::{Look, Paint};

/// The beginning of a digest, as Docker shows it.
pub(in crate::commands) fn short(digest: &Digest) -> String {
    digest.hex().chars().take(12).collect()
}

pub(super) fn release(app: &AppName, release: &Release, look: &Look) -> String {
    let live = if release.live { look.paint(Paint::Good, " live") } else { String::new() };
    let title = look.paint(Paint::Bold, &format!("{app} #{}", release.number));
    let by = release.pushed_by.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    let mut lines = vec![
        format!("{title}{live}"),
        format!("  tag       {}", release.tag),
        format!("  digest    {}", release.digest),
        format!("  pushed    {} by {by}", ago(&release.pushed_at, look.now)),
        format!("  cause     {}", one_line(&release.cause)),
        format!("  size      {}", bytes(release.size)),
    ];
    if let Some(image) = release.image.filter(|image| *image != release.digest) {
        lines.push(format!("  image     {image}"));
    }
    if let Some(url) = &release.url {
        lines.push(format!("  URL       {}", one_line(url)));
    }
    if let Some(refused) = &release.refused {
        let refused = look.paint(Paint::Bad, &one_line(refused));
        lines.push(format!("  refused   {refused}"));
    }
    if let Some(spec) = &release.spec {
        lines.extend(how(spec));
    }
    lines.extend(release.findings.iter().map(|finding| {
        let code = look.paint(Paint::Warn, &one_line(&finding.code));
        format!("  found     {code}: {}", one_line(&finding.message))
    }));
    lines.join("\n")
}

/// How a release is run.
fn how(spec: &AppSpec) -> Vec<String> {
    let protocol = match spec.protocol {
        Protocol::Http1 => "http1",
        Protocol::H2c => "h2c",
    };
    let health = spec.health.as_deref().unwrap_or("a TCP connection");
    let wake = match spec.wake {
        WakeFor::All => "everybody",
        WakeFor::Humans => "humans",
    };
    let mebibytes = spec.memory >> 20;
    let (whole, thousandths) = (spec.cpu_millis / 1000, spec.cpu_millis % 1000);
    vec![
        format!("  port      {} ({protocol}), ready by {}", spec.port, one_line(health)),
        format!(
            "  idle      frozen after {}, stopped after {}",
            span(spec.freeze),
            span(spec.idle)
        ),
        format!(
            "  scale     {} to {} on a node, {} requests each, woken by {wake}",
            spec.scale_min, spec.scale_max, spec.concurrency
        ),
        format!("  limits    {mebibytes} MiB of memory, {whole}.{thousandths:03} processors"),
    ]
}
