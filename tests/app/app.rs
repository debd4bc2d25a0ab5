//! The app that the end-to-end tests push: an HTTP server with nothing but the standard library,
//! which does what its environment and the path say.
//!
//! `MODE` is `serve` (the default), `exit` (ends at once, without an error), `crash` (ends with
//! status 3) or `mute` (runs and never listens). `LISTEN` is where it listens, several separated by
//! commas. `VERSION` is what `/version` answers. It hears no stop signal: whoever wants it to end
//! at once builds its image with `STOPSIGNAL SIGKILL`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Different in each process: two equal ones are one start.
static BOOT: OnceLock<String> = OnceLock::new();

fn main() {
    let boot = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel has a uuid");
    BOOT.set(boot.trim().to_owned()).expect("set once");
    println!("boot {}", boot.trim());
    match setting("MODE", "serve").as_str() {
        "exit" => exit(0),
        "crash" => {
            eprintln!("the configuration is missing");
            exit(3);
        }
        "mute" => loop {
            thread::sleep(Duration::from_secs(3600));
        },
        _ => listen(),
    }
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn listen() {
    let everywhere = format!("0.0.0.0:{}", setting("PORT", "8080"));
    let listeners: Vec<_> = setting("LISTEN", &everywhere)
        .split(',')
        .map(|address| TcpListener::bind(address).expect("the address is free"))
        .map(|listener| thread::spawn(move || accept(&listener)))
        .collect();
    for listener in listeners {
        listener.join().expect("a listener does not end");
    }
}

fn accept(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        // A small stack, so that a thousand connections fit into a small container.
        let _ = thread::Builder::new().stack_size(64 << 10).spawn(move || serve(stream));
    }
}

/// A request's head, and the stream behind it.
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: BufReader<TcpStream>,
    out: TcpStream,
}

impl Request {
    fn read(mut body: BufReader<TcpStream>, out: TcpStream) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if body.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            body.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Some(Self { line: line.trim_end().to_owned(), headers, body, out }))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or("/")
    }

    fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or("/")
    }

    /// The number that the query gives to `name`.
    fn number(&self, name: &str) -> Option<u64> {
        let query = self.target().split_once('?')?.1;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)?
            .1
            .parse()
            .ok()
    }

    /// Hands the body to `take`, piece by piece, as it comes.
    fn each_piece(
        &mut self,
        mut take: impl FnMut(&mut TcpStream, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            loop {
                let mut size = String::new();
                self.body.read_line(&mut size)?;
                let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                self.pieces_of(size, &mut take)?;
                self.body.read_line(&mut String::new())?;
                if size == 0 {
                    return Ok(());
                }
            }
        }
        let length =
            self.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        self.pieces_of(length, &mut take)
    }

    fn pieces_of(
        &mut self,
        mut left: u64,
        take: &mut impl FnMut(&mut TcpStream, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.body.read(&mut piece[..most])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            take(&mut self.out, &piece[..read])?;
            left -= read as u64;
        }
        Ok(())
    }

    fn answer(&mut self, body: &str) -> io::Result<()> {
        let boot = BOOT.get().map_or("", String::as_str);
        let length = body.len();
        write!(
            self.out,
            "HTTP/1.1 200 OK\r\nBoot: {boot}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }
}

fn serve(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(read) = stream.try_clone() else { return };
    let mut reader = BufReader::new(read);
    loop {
        let Ok(out) = stream.try_clone() else { return };
        let Ok(Some(mut request)) = Request::read(reader, out) else { return };
        if respond(&mut request).is_err() {
            return;
        }
        reader = request.body;
    }
}

fn respond(request: &mut Request) -> io::Result<()> {
    let path = request.path().to_owned();
    match path.as_str() {
        "/echo" => return echo(request),
        "/sse" => return events(request),
        "/ws" => return websocket(request),
        "/volume" if request.method() == "PUT" => return write_volume(request),
        _ => request.each_piece(|_, _| Ok(()))?,
    }
    match path.as_str() {
        "/version" => request.answer(&setting("VERSION", "1")),
        "/greeting" => request.answer(&setting("GREETING", "none")),
        "/say" => {
            println!("said {}", request.target());
            request.answer("said")
        }
        "/boot" => request.answer(BOOT.get().map_or("", String::as_str)),
        "/hostname" => {
            let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
            request.answer(name.trim())
        }
        "/volume" => {
            let content = fs::read_to_string("/data/value").unwrap_or_default();
            request.answer(&content)
        }
        "/sleep" => {
            thread::sleep(Duration::from_millis(request.number("ms").unwrap_or(1000)));
            request.answer("slept")
        }
        "/exit" => exit(i32::try_from(request.number("code").unwrap_or(0)).unwrap_or(1)),
        "/memory" => {
            let memory =
                vec![1_u8; usize::try_from(request.number("mb").unwrap_or(1)).unwrap_or(1) << 20];
            request.answer(&memory.iter().map(|&byte| u64::from(byte)).sum::<u64>().to_string())
        }
        _ => {
            let (line, port) = (request.line.clone(), request.out.local_addr()?.port());
            request.answer(&format!("{line} on {port}\n"))
        }
    }
}

/// Sends the head back as it came, and then the body, each piece as it comes.
fn echo(request: &mut Request) -> io::Result<()> {
    write!(request.out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let mut head = format!("{}\n", request.line);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\n"));
    }
    head.push('\n');
    chunk(&mut request.out, head.as_bytes())?;
    request.each_piece(|out, piece| chunk(out, piece))?;
    write!(request.out, "0\r\n\r\n")
}

fn chunk(out: &mut TcpStream, piece: &[u8]) -> io::Result<()> {
    write!(out, "{:x}\r\n", piece.len())?;
    out.write_all(piece)?;
    out.write_all(b"\r\n")
}

/// An event every 200 ms.
fn events(request: &mut Request) -> io::Result<()> {
    let until = Instant::now() + Duration::from_secs(request.number("seconds").unwrap_or(1));
    write!(
        request.out,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    for number in 0.. {
        if Instant::now() >= until {
            break;
        }
        chunk(&mut request.out, format!("id: {number}\ndata: tick\n\n").as_bytes())?;
        thread::sleep(Duration::from_millis(200));
    }
    write!(request.out, "0\r\n\r\n")
}

fn write_volume(request: &mut Request) -> io::Result<()> {
    let mut content = Vec::new();
    request.each_piece(|_, piece| {
        content.extend_from_slice(piece);
        Ok(())
    })?;
    fs::write("/data/value", content)?;
    request.answer("written")
}

/// Echoes the messages of a WebSocket (RFC 6455) until it is closed.
fn websocket(request: &mut Request) -> io::Result<()> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let accept = base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()));
    write!(
        request.out,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    loop {
        let mut head = [0; 2];
        request.body.read_exact(&mut head)?;
        // Short masked frames are all that the tests send.
        let length = usize::from(head[1] & 0x7f);
        let mut mask = [0; 4];
        request.body.read_exact(&mut mask)?;
        let mut payload = vec![0; length];
        request.body.read_exact(&mut payload)?;
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= mask[index % 4];
        }
        request.out.write_all(&[head[0], length as u8])?;
        request.out.write_all(&payload)?;
        let close = head[0] & 0x0f == 8;
        if close {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

/// FIPS 180-4, 6.1.
fn sha1(text: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = text.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend_from_slice(&(text.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w: Vec<u32> = block
            .chunks(4)
            .map(|word| word.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte)))
            .collect();
        for t in 16..80 {
            w.push((w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (t, word) in w.iter().enumerate() {
            let (f, k) = match t {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(f)
                .wrapping_add(e)
                .wrapping_add(k)
                .wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte))
            << (8 * (3 - three.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= three.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}
