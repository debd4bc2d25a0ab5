use super::*;

fn image(labels: &[(&str, &str)], exposed: &[&str], volumes: &[&str]) -> ContainerConfig {
    ContainerConfig {
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        exposed_ports: exposed.iter().map(|p| (*p).to_owned()).collect(),
        volumes: volumes.iter().map(|v| (*v).to_owned()).collect(),
        ..ContainerConfig::default()
    }
}

#[track_caller]
fn codes(config: &ContainerConfig) -> Vec<String> {
    read(config).1.into_iter().map(|finding| finding.code).collect()
}

#[test]
fn an_image_without_labels_gets_the_defaults() {
    assert_eq!(read(&image(&[], &[], &[])), (AppSpec::default(), vec![]));
}

#[test]
fn a_single_exposed_port_is_the_port() {
    let (spec, findings) = read(&image(&[], &["3000/tcp", "53/udp"], &[]));
    assert_eq!((spec.port, findings), (3000, vec![]));
}

#[test]
fn several_exposed_ports_need_a_label() {
    assert_eq!(codes(&image(&[], &["3000/tcp", "4000/tcp"], &[])), ["port_ambiguous"]);
    let (spec, findings) = read(&image(&[("rac.port", "4000")], &["3000/tcp", "4000/tcp"], &[]));
    assert_eq!((spec.port, findings), (4000, vec![]));
}

#[test]
fn every_label_is_read() {
    let (spec, findings) = read(&image(
        &[
            ("rac.port", "80"),
            ("rac.protocol", "h2c"),
            ("rac.health", "/up"),
            ("rac.freeze", "off"),
            ("rac.idle", "1h"),
            ("rac.concurrency", "1"),
            ("rac.scale.min", "1"),
            ("rac.scale.max", "2"),
            ("rac.memory", "1Gi"),
            ("rac.cpu", "1.25"),
            ("rac.start-timeout", "2s"),
            ("rac.request-timeout", "1m"),
            ("rac.wake", "humans"),
            ("rac.ttl", "2h"),
        ],
        &[],
        &[],
    ));
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["protocol_unsupported"]);
    let expected = AppSpec {
        port: 80,
        protocol: Protocol::H2c,
        health: Some("/up".to_owned()),
        freeze: None,
        idle: Some(Duration::from_secs(3600)),
        concurrency: 1,
        scale_min: 1,
        scale_max: 2,
        exclusive: false,
        memory: 1 << 30,
        cpu_millis: 1250,
        start_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(60),
        wake: WakeFor::Humans,
        ttl: Some(Duration::from_secs(7200)),
    };
    assert_eq!(spec, expected);
    let json = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<AppSpec>(&json).unwrap(), expected);
}

#[test]
fn a_label_that_does_not_parse_is_a_finding_and_the_default_stays() {
    for (name, value) in [
        ("rac.port", "0"),
        ("rac.port", "http"),
        ("rac.protocol", "h3"),
        ("rac.health", "up"),
        ("rac.freeze", "soon"),
        ("rac.idle", "1ms"),
        ("rac.concurrency", "0"),
        ("rac.scale.max", "0"),
        ("rac.memory", "256"),
        ("rac.memory", "99999999999999999999Gi"),
        ("rac.cpu", "NaN"),
        ("rac.cpu", "-1"),
        ("rac.start-timeout", "1h"),
        ("rac.wake", "robots"),
    ] {
        let (spec, findings) = read(&image(&[(name, value)], &[], &[]));
        assert_eq!(spec, AppSpec::default(), "{name}={value}");
        let [finding] = findings.as_slice() else { panic!("{name}={value}: {findings:?}") };
        assert_eq!(finding.code, "label_invalid");
        assert!(finding.message.contains(name), "{}", finding.message);
    }
}

#[test]
fn a_label_that_is_none_is_a_finding_and_others_are_left_alone() {
    assert_eq!(codes(&image(&[("rac.prot", "80")], &[], &[])), ["label_unknown"]);
    assert_eq!(codes(&image(&[("maintainer", "me")], &[], &[])), Vec::<String>::new());
}

#[test]
fn an_app_with_a_volume_is_one_instance() {
    let (spec, findings) = read(&image(&[], &[], &["/data"]));
    assert_eq!((spec.scale_max, spec.exclusive, findings), (1, true, vec![]));
    let several = image(&[("rac.scale.max", "3")], &[], &["/data"]);
    assert_eq!(
        (read(&several).0.scale_max, codes(&several)),
        (1, vec!["volume_single".to_owned()])
    );
}

#[test]
fn the_least_scale_is_not_above_the_most() {
    let config = image(&[("rac.scale.min", "3"), ("rac.scale.max", "2")], &[], &[]);
    assert_eq!(read(&config).0.scale_min, 2);
    assert_eq!(codes(&config), ["label_invalid"]);
}

#[test]
fn a_healthcheck_that_asks_for_a_url_names_the_path() {
    let path = |command: &str| {
        let mut config = image(&[], &[], &[]);
        let test = vec!["CMD-SHELL".to_owned(), command.to_owned()];
        config.healthcheck = Some(crate::Healthcheck { test });
        read(&config).0.health
    };
    assert_eq!(
        path("curl -f http://localhost:8080/healthz || exit 1"),
        Some("/healthz".to_owned())
    );
    assert_eq!(path("wget -q http://127.0.0.1/up"), Some("/up".to_owned()));
    assert_eq!(path("curl -f http://localhost:8080"), None);
    assert_eq!(path("/app health"), None);
}

#[test]
fn the_reference_page_is_what_the_code_reads() {
    let page = include_str!("../../../docs/labels.md");
    assert!(page.contains(&reference()), "docs/labels.md must hold this table:\n{}", reference());
}
