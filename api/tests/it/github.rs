//! Logging in with GitHub, against a server that answers like it.

use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::person::refusal;
use crate::stack::Stack;

/// Answers like GitHub.
#[derive(Clone)]
struct Github {
    port: u16,
    /// What the next polls answer; `None` is a confirmation.
    poll: Arc<Mutex<Option<&'static str>>>,
    asked: Arc<Mutex<Vec<String>>>,
    login: Arc<Mutex<&'static str>>,
}

impl Github {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let github = Self {
            port: listener.local_addr().unwrap().port(),
            poll: Arc::new(Mutex::new(Some("authorization_pending"))),
            asked: Arc::default(),
            login: Arc::new(Mutex::new("Octo-Cat")),
        };
        let answering = github.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let github = answering.clone();
                tokio::spawn(async move {
                    let request = read(&mut stream).await;
                    let body = github.answer(&request).to_string();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                         connection: close\r\n\r\n",
                        body.len()
                    );
                    stream.write_all((head + &body).as_bytes()).await.unwrap();
                });
            }
        });
        github
    }

    fn answer(&self, request: &str) -> Value {
        let line = request.lines().next().unwrap().to_owned();
        self.asked.lock().push(line.clone());
        if line.starts_with("POST /login/device/code ") {
            assert!(request.contains("client_id=the-client"), "{request}");
            return json!({ "device_code": "the-device-code", "user_code": "WDJB-MJHT",
                "verification_uri": "https://github.com/login/device", "expires_in": 900, "interval": 60 });
        }
        if line.starts_with("POST /login/oauth/access_token ") {
            assert!(request.contains("device_code=the-device-code"), "{request}");
            return match *self.poll.lock() {
                Some(error) => json!({ "error": error }),
                None => {
                    json!({ "access_token": "gho_canary", "token_type": "bearer", "scope": "" })
                }
            };
        }
        assert!(line.starts_with("GET /api/user "), "{line}");
        assert!(request.contains("Bearer gho_canary"), "{request}");
        json!({ "id": 583_231, "login": *self.login.lock() })
    }

    fn confirm(&self) {
        *self.poll.lock() = None;
    }

    fn polls(&self) -> usize {
        let asked = self.asked.lock();
        asked.iter().filter(|line| line.contains("access_token")).count()
    }

    async fn stack(&self) -> Stack {
        let mut stack = Stack::new();
        let site = format!("http://127.0.0.1:{}", self.port);
        let settings = stack.settings_mut();
        settings.github_client_id = Some("the-client".to_owned());
        settings.github_url = site.parse().unwrap();
        settings.github_api_url = format!("{site}/api").parse().unwrap();
        stack.start_api().await;
        stack
    }
}

/// A request with its body.
async fn read(stream: &mut tokio::net::TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.unwrap();
        request.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned)
            });
            if body.len() >= header.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        assert!(length > 0, "half a request: {text}");
    }
}

async fn begin(stack: &Stack) -> String {
    let response = stack.post("/v1/login/github", json!({})).await;
    assert_eq!(response.status(), StatusCode::OK);
    let begun: Value = response.json().await.unwrap();
    assert_eq!((&begun["user_code"], &begun["interval"]), (&json!("WDJB-MJHT"), &json!(60)));
    assert!(!begun.to_string().contains("the-device-code"), "{begun}");
    begun["device"].as_str().unwrap().to_owned()
}

async fn poll(stack: &Stack, device: &str) -> reqwest::Response {
    stack.post("/v1/login/github/poll", json!({ "device": device })).await
}

/// Polls as if the interval had passed.
async fn poll_in_time(stack: &Stack, device: &str) -> reqwest::Response {
    stack.run_sql("update device_login set next_poll_at = 0").await;
    poll(stack, device).await
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_logs_in_with_github_and_keeps_the_account() {
    let github = Github::start().await;
    let stack = github.stack().await;
    stack.sign_up("octo-cat").await;
    let methods: Value = stack.get("/v1/login/methods").send().await.unwrap().json().await.unwrap();
    assert_eq!(methods["github"], true);

    let device = begin(&stack).await;
    for _ in 0..5 {
        let pending = poll(&stack, &device).await;
        assert_eq!(pending.status(), StatusCode::ACCEPTED);
    }
    assert_eq!(github.polls(), 0, "asked only as often as GitHub wants");
    assert_eq!(poll_in_time(&stack, &device).await.status(), StatusCode::ACCEPTED);
    assert_eq!(github.polls(), 1);
    github.confirm();
    let login: rac_model::Login = poll_in_time(&stack, &device).await.json().await.unwrap();
    assert_eq!(login.user.as_str(), "octo-cat-2", "the name itself is somebody else's");
    let account = stack.get("/v1/user").bearer_auth(&login.token).send().await.unwrap();
    let account: rac_model::Account = account.json().await.unwrap();
    assert_eq!(account.github.as_deref(), Some("Octo-Cat"));
    assert_eq!(refusal(poll(&stack, &device).await).await, (404, "device_login_ended".to_owned()));

    *github.login.lock() = "renamed";
    let again = begin(&stack).await;
    let login: rac_model::Login = poll_in_time(&stack, &again).await.json().await.unwrap();
    assert_eq!(login.user.as_str(), "octo-cat-2", "by GitHub's number, not by the login");
    let body = json!({ "name": "octo-cat-2", "password": "" });
    assert_eq!(stack.post("/v1/login", body).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_that_is_refused_or_ends_is_over() {
    let github = Github::start().await;
    let stack = github.stack().await;
    for (error, status, code) in [
        ("access_denied", 403, "login_denied"),
        ("expired_token", 404, "device_login_ended"),
        ("incorrect_client_credentials", 502, "github_unavailable"),
    ] {
        *github.poll.lock() = Some(error);
        let device = begin(&stack).await;
        let refused = poll_in_time(&stack, &device).await;
        assert_eq!(refusal(refused).await, (status, code.to_owned()));
    }
    *github.poll.lock() = Some("slow_down");
    let device = begin(&stack).await;
    stack.run_sql("update device_login set interval_s = 5").await;
    let slower: Value = poll_in_time(&stack, &device).await.json().await.unwrap();
    assert_eq!(slower["interval"], 10);
    stack.run_sql("update device_login set expires_at = 1").await;
    assert_eq!(refusal(poll(&stack, &device).await).await.1, "device_login_ended");
    assert_eq!(refusal(poll(&stack, "made-up").await).await.1, "device_login_ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_client_id_nobody_logs_in_with_github() {
    let stack = Stack::start_without_registry().await;
    let begun = stack.post("/v1/login/github", json!({})).await;
    assert_eq!(refusal(begun).await, (404, "github_off".to_owned()));
}
