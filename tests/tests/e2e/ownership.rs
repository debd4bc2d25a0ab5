use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_model::{App, AppAccess, Problem};
use rac_tests::{Answer, Image, Person, said, soon, until};
use reqwest::{Method, StatusCode};
use tokio::time::Instant;

use crate::world::{World, first_answer, stopped};

async fn person(world: &World, name: &str) -> Result<Person> {
    Person::signed_up(name, world.stack(), world.work()).await
}

pub(crate) async fn a_claimed_app_is_pushed_to_by_its_owner_only(world: Arc<World>) -> Result<()> {
    let docker = world.docker();
    let app = world.deploy(&Image::new().version("anybody"), "claimed").await?;
    ensure!(app.first.status == StatusCode::OK, "{:?}", app.first);
    let ada = person(&world, "ada").await?;
    ada.rac(&["claim", "claimed"]).await?;

    let stranger = person(&world, "eve").await?;
    stranger.docker_login(docker).await?;
    let denied = stranger.try_push(docker, &Image::new().version("eve"), "claimed").await?;
    denied_because(&denied, "belongs to ada")?;
    let nobody = Person::new("nobody", world.stack(), world.work())?;
    let denied = nobody.try_push(docker, &Image::new().version("nobody"), "claimed").await?;
    denied_because(&denied, "belongs to ada")?;
    let again = stranger.try_rac(&["claim", "claimed"]).await?;
    ensure!(!again.status.success() && said(&again).contains("ada"), "{}", said(&again));

    ada.docker_login(docker).await?;
    ada.push(docker, &Image::new().version("ada"), "claimed").await?;
    soon("the owner's push is live", async || Ok(app.host.text("/version").await? == "ada"))
        .await?;
    let known: App = ada.rac_json(&["status", "claimed"]).await?;
    ensure!(known.owner.as_ref().is_some_and(|owner| owner.as_str() == "ada"), "{known:?}");
    let release = known.release.context("it has a release")?;
    ensure!(release.pushed_by.is_some_and(|name| name.as_str() == "ada"));
    Ok(())
}

/// Docker says that it was denied, and the reason.
fn denied_because(output: &std::process::Output, reason: &str) -> Result<()> {
    let said = said(output);
    ensure!(!output.status.success(), "the push went through: {said}");
    ensure!(said.contains("denied") || said.contains("insufficient_scope"), "docker said: {said}");
    ensure!(said.contains(reason), "docker said: {said}");
    Ok(())
}

pub(crate) async fn a_collaborator_pushes_until_it_is_unshared(world: Arc<World>) -> Result<()> {
    let docker = world.docker();
    let (grace, linus) = (person(&world, "grace").await?, person(&world, "linus").await?);
    grace.rac(&["claim", "shared"]).await?;
    grace.rac(&["share", "shared", "linus", "--role", "push"]).await?;
    linus.docker_login(docker).await?;
    linus.push(docker, &Image::new().version("linus"), "shared").await?;
    let host = world.stack().host("shared")?;
    ensure!(first_answer(&host).await?.status == StatusCode::OK);
    ensure!(host.text("/version").await? == "linus");

    grace.rac(&["unshare", "shared", "linus"]).await?;
    let denied = linus.try_push(docker, &Image::new().version("late"), "shared").await?;
    denied_because(&denied, "belongs to grace")?;
    ensure!(host.text("/version").await? == "linus");
    Ok(())
}

pub(crate) async fn a_rollback_serves_the_old_code_within_two_seconds(
    world: Arc<World>,
) -> Result<()> {
    let docker = world.docker();
    let margaret = person(&world, "margaret").await?;
    margaret.docker_login(docker).await?;
    margaret.rac(&["claim", "rolls-back"]).await?;
    margaret.push(docker, &Image::new().version("one"), "rolls-back").await?;
    let host = world.stack().host("rolls-back")?;
    first_answer(&host).await?;
    margaret.push(docker, &Image::new().version("two"), "rolls-back").await?;
    soon("the second release is live", async || Ok(host.text("/version").await? == "two")).await?;

    margaret.rac(&["rollback", "rolls-back"]).await?;
    let begun = Instant::now();
    soon("the first serves again", async || Ok(host.text("/version").await? == "one")).await?;
    let late = begun.elapsed();
    println!("  the old release answered {late:?} after the rollback");
    ensure!(late < Duration::from_secs(2), "the old release came {late:?} after the rollback");

    margaret.rac(&["promote", "rolls-back", "2"]).await?;
    soon("the second is promoted", async || Ok(host.text("/version").await? == "two")).await?;
    margaret.rac(&["rollback", "rolls-back", "1"]).await?;
    margaret.push(docker, &Image::new().version("three"), "rolls-back").await?;
    soon("a push is live, also after a rollback", async || {
        Ok(host.text("/version").await? == "three")
    })
    .await
}

pub(crate) async fn a_preview_goes_when_it_is_removed(world: Arc<World>) -> Result<()> {
    let docker = world.docker();
    let barbara = person(&world, "barbara").await?;
    barbara.docker_login(docker).await?;
    barbara.rac(&["claim", "with-preview"]).await?;
    barbara.push(docker, &Image::new().version("main"), "with-preview").await?;
    barbara.push(docker, &Image::new().version("next"), "with-preview:next").await?;
    let preview = world.stack().host("next--with-preview")?;
    first_answer(&preview).await?;
    ensure!(preview.text("/version").await? == "next");

    let known: App = barbara.rac_json(&["status", "with-preview"]).await?;
    ensure!(known.previews.iter().any(|preview| preview.tag.as_str() == "next"), "{known:?}");
    barbara.rac(&["previews", "rm", "with-preview", "next"]).await?;
    soon("the preview is gone", async || Ok(preview.get("/").await?.status == 404)).await?;
    ensure!(world.stack().host("with-preview")?.text("/version").await? == "main");
    Ok(())
}

pub(crate) async fn a_deleted_app_is_gone_and_its_name_is_kept(world: Arc<World>) -> Result<()> {
    let docker = world.docker();
    let (joan, dave) = (person(&world, "joan").await?, person(&world, "dave").await?);
    joan.docker_login(docker).await?;
    joan.rac(&["claim", "deleted"]).await?;
    joan.push(docker, &Image::new(), "deleted").await?;
    let host = world.stack().host("deleted")?;
    first_answer(&host).await?;

    joan.rac(&["rm", "deleted", "--yes"]).await?;
    soon("the URL leads nowhere", async || Ok(host.get("/").await?.status == 404)).await?;
    let again = dave.try_rac(&["claim", "deleted"]).await?;
    ensure!(!again.status.success(), "somebody else has the name: {}", said(&again));
    dave.docker_login(docker).await?;
    let denied = dave.try_push(docker, &Image::new(), "deleted").await?;
    ensure!(!denied.status.success(), "somebody else has the name: {}", said(&denied));

    joan.push(docker, &Image::new().version("again"), "deleted").await?;
    first_answer(&host).await?;
    ensure!(host.text("/version").await? == "again");
    Ok(())
}

pub(crate) async fn a_stopped_app_sleeps_until_it_is_started(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&Image::new(), "sleeps").await?;
    let karen = person(&world, "karen").await?;
    karen.rac(&["claim", "sleeps"]).await?;
    karen.rac(&["stop", "sleeps"]).await?;
    soon("it is stopped", async || {
        let answer = app.host.get("/").await?;
        Ok(answer.status == 503 && answer.header("rac-error") == "app_stopped")
    })
    .await?;
    stopped(&world.stack().apex()?, "sleeps").await?;

    karen.rac(&["start", "sleeps"]).await?;
    soon("it answers again", async || Ok(app.host.get("/").await?.status == 200)).await
}

pub(crate) async fn a_private_url_asks_for_a_login(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&Image::new(), "behind-login").await?;
    let radia = person(&world, "radia").await?;
    radia.rac(&["claim", "behind-login"]).await?;
    radia.rac(&["visibility", "behind-login", "--url", "login"]).await?;
    soon("it asks for a login", async || Ok(app.host.get("/").await?.status == 401)).await?;

    let token = radia.rac(&["token", "create", "e2e", "--scope", "pull"]).await?;
    let token = token.split_whitespace().find(|word| word.starts_with("rac_pat_"));
    let token = token.context("the token is printed")?;
    let apex = world.stack().apex()?;
    let request = apex.request(Method::POST, "/v1/apps/behind-login/access").bearer_auth(token);
    let access: AppAccess = serde_json::from_str(&rac_tests::text(request).await?)?;
    let shown = app.host.request(Method::GET, "/version").header("Rac-Access", &access.token);
    ensure!(Answer::read(shown).await?.status == StatusCode::OK);

    let browser = app.host.request(Method::GET, "/x?y=1").header("Accept", "text/html");
    let sent = Answer::read(browser).await?;
    ensure!(sent.status == StatusCode::FOUND, "{sent:?}");
    let page = sent.header("location").strip_prefix(&format!("http://{}", apex.name()));
    let asked = apex.get(page.with_context(|| format!("it leads to the apex: {sent:?}"))?).await?;
    let form = match asked.header("location") {
        "" => asked,
        further => apex.get(further).await?,
    };
    ensure!(form.body.contains("<form"), "{form:?}");
    Ok(())
}

pub(crate) async fn an_unclaimed_app_ends_and_says_when(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&Image::new().label("ttl", "12s"), "short-lived").await?;
    ensure!(!app.first.header("rac-expires").is_empty(), "{:?}", app.first);
    let known = world.stack().apex()?.app("short-lived").await?;
    ensure!(known.expires_at.is_some(), "{known:?}");
    let gone = async || Ok((app.host.get("/").await?.status == 404).then_some(()));
    until("the app ends", Duration::from_secs(60), gone).await?;
    let answer = world.stack().apex()?.get("/v1/apps/short-lived").await?;
    let problem: Problem = serde_json::from_str(&answer.body).context("read the problem")?;
    ensure!(problem.code == "app_not_found", "{problem:?}");
    Ok(())
}
