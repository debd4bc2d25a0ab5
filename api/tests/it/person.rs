//! People with accounts.

use reqwest::header::{ORIGIN, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::stack::Stack;

pub(crate) const PASSWORD: &str = "correct horse";

/// Somebody who is logged in with a token.
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) token: String,
}

impl Stack {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.request(Method::POST, path).json(&body).send().await.unwrap()
    }

    pub(crate) async fn sign_up(&self, name: &str) -> Person {
        let response = self.post("/v1/users", json!({ "name": name, "password": PASSWORD })).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let login: rac_model::Login = response.json().await.unwrap();
        Person { name: login.user.to_string(), token: login.token }
    }

    /// Makes an app of `owner`, without the way that people take.
    pub(crate) async fn give(&self, app: &str, owner: &Person, visibility: &str) {
        let db = self.open_database().await;
        let mut tx = db.write().await.unwrap();
        sqlx::query(
            "insert into app (name, created_at, pushed_at, last_release, owner, visibility)
             values ($1, 0, 0, 0, $2, $3)",
        )
        .bind(app)
        .bind(&owner.name)
        .bind(visibility)
        .execute(&mut *tx)
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// Does something to the database that time would do.
    pub(crate) async fn run_sql(&self, sql: &'static str) {
        let db = self.open_database().await;
        let mut tx = db.write().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The cookie of a browser that logs in.
    pub(crate) async fn log_browser_in(&self, name: &str) -> String {
        let body = json!({ "name": name, "password": PASSWORD });
        let response = self.post("/v1/sessions", body).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        cookie(&response)
    }

    /// A request of a browser's page at `origin`.
    pub(crate) fn browse(
        &self,
        method: Method,
        path: &str,
        cookie: &str,
        origin: Option<&str>,
    ) -> RequestBuilder {
        let request = self.request(method, path).header("cookie", cookie);
        match origin {
            Some(origin) => request.header(ORIGIN, origin),
            None => request,
        }
    }
}

impl Person {
    pub(crate) fn ask(&self, stack: &Stack, method: Method, path: &str) -> RequestBuilder {
        stack.request(method, path).bearer_auth(&self.token)
    }

    /// A token of `person`'s own making.
    pub(crate) async fn new_token(&self, stack: &Stack, wanted: Value) -> rac_model::CreatedToken {
        let response =
            self.ask(stack, Method::POST, "/v1/tokens").json(&wanted).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED, "{wanted}");
        response.json().await.unwrap()
    }
}

/// What an owner does.
impl Person {
    /// The same person with a token of less, and the token's id.
    pub(crate) async fn with_scopes(&self, stack: &Stack, scopes: &[&str]) -> (Self, String) {
        let made = self.new_token(stack, json!({ "name": "less", "scopes": scopes })).await;
        (Self { name: self.name.clone(), token: made.secret }, made.token.id)
    }

    pub(crate) async fn send(
        &self,
        stack: &Stack,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Response {
        self.ask(stack, method, path).json(body).send().await.unwrap()
    }

    /// What is answered to what must succeed.
    pub(crate) async fn json(
        &self,
        stack: &Stack,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Value {
        answer(path, self.send(stack, method, path, body).await).await
    }

    /// What there is at a path, which must be.
    pub(crate) async fn see(&self, stack: &Stack, path: &str) -> Value {
        answer(path, self.ask(stack, Method::GET, path).send().await.unwrap()).await
    }

    /// A token of the registry's, as `docker login` gets it.
    pub(crate) async fn registry_token(&self, stack: &Stack, scope: &str) -> String {
        let request = stack.get("/token").query(&[("service", "rac"), ("scope", scope)]);
        let request = request.basic_auth(&self.name, Some(&self.token));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }
}

async fn answer(path: &str, response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// The cookie that a response sets, as a browser sends it.
pub(crate) fn cookie(response: &Response) -> String {
    let set = response.headers()[SET_COOKIE].to_str().unwrap();
    let (cookie, attributes) = set.split_once(';').unwrap();
    assert!(cookie.starts_with("__Host-rac-session="), "{set}");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(attributes.split(';').any(|given| given.trim() == attribute), "{set}");
    }
    assert!(!attributes.contains("Domain"), "{set}");
    cookie.to_owned()
}

/// The status and the code of a refusal.
pub(crate) async fn refusal(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let problem: rac_model::Problem = response.json().await.unwrap();
    assert!(problem.detail.len() > 20, "{problem:?}");
    (status, problem.code)
}
