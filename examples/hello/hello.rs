//! Says hello over HTTP, with nothing but the standard library.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::{env, thread};

fn main() -> std::io::Result<()> {
    let port = env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    for stream in listener.incoming().flatten() {
        thread::spawn(move || serve(stream));
    }
    Ok(())
}

/// Answers one request after the other until the other side hangs up.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(line) = lines.next().transpose()? {
        let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
        while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
        let body = format!("Hello from {path}\n");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length:";
        // In one piece: the second of two small ones would wait for the first to be acknowledged.
        stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes())?;
    }
    Ok(())
}
