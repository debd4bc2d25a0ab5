use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_model::InstanceState;
use rac_tests::{Host, Image, soon};
use reqwest::Method;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::world::{World, state, stopped};

/// Freezes after half a second of nothing, stops after one and a half.
fn restless() -> Image {
    Image::new().label("freeze", "500ms").label("idle", "1500ms")
}

pub(crate) async fn a_websocket_keeps_its_app_awake(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&restless(), "websocket").await?;
    let apex = world.stack().apex()?;
    let boot = app.host.text("/boot").await?;
    let mut socket = WebSocket::open(&app.host).await?;
    socket.echo(b"first").await?;

    runs_for(&apex, "websocket", Duration::from_secs(3)).await?;
    socket.echo(b"still here").await?;
    ensure!(app.host.text("/boot").await? == boot, "it is the same container");

    socket.close().await?;
    freezes_and_stops(&apex, "websocket").await
}

pub(crate) async fn server_sent_events_keep_their_app_awake(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&restless(), "events").await?;
    let apex = world.stack().apex()?;
    let mut events = app.host.request(Method::GET, "/sse?seconds=4").send().await?;
    // The first comes before the last is made: nothing holds the stream back.
    let first = events.chunk().await?.context("an event")?;
    ensure!(first.starts_with(b"id: 0\n"), "{first:?}");

    runs_for(&apex, "events", Duration::from_secs(3)).await?;
    let mut rest = Vec::new();
    while let Some(piece) = events.chunk().await? {
        rest.extend_from_slice(&piece);
    }
    let rest = String::from_utf8_lossy(&rest).into_owned();
    ensure!(rest.contains("id: 15\n"), "events are missing: {rest}");
    freezes_and_stops(&apex, "events").await
}

async fn runs_for(apex: &Host, app: &str, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let state = state(apex, app).await?;
        ensure!(state == Some(InstanceState::Running), "it does not run: {state:?}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn freezes_and_stops(apex: &Host, app: &str) -> Result<()> {
    let frozen = async || Ok(state(apex, app).await? == Some(InstanceState::Frozen));
    soon("the app freezes once the stream is closed", frozen).await?;
    stopped(apex, app).await
}

/// As much of a WebSocket client (RFC 6455) as it takes to send short messages.
struct WebSocket(BufReader<TcpStream>);

impl WebSocket {
    async fn open(host: &Host) -> Result<Self> {
        let head = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let mut socket = BufReader::new(host.raw(head).await?);
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            let line = timeout(Duration::from_secs(10), socket.read_line(&mut answer)).await;
            ensure!(line.context("wait for the head")?? > 0, "the head ended: {answer}");
        }
        ensure!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        ensure!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
        Ok(Self(socket))
    }

    async fn echo(&mut self, message: &[u8]) -> Result<()> {
        self.send(1, message).await?;
        let mut frame = vec![0; message.len() + 2];
        let read = timeout(Duration::from_secs(10), self.0.read_exact(&mut frame)).await;
        read.context("wait for the echo")?.context("read the echo")?;
        ensure!(frame.ends_with(message), "{frame:?}");
        Ok(())
    }

    async fn close(mut self) -> Result<()> {
        self.send(8, &[]).await
    }

    /// One masked frame; the mask is 0, which changes nothing.
    async fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        let length = u8::try_from(payload.len()).context("a short message")?;
        let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).await.context("send a frame")
    }
}
