//! Every route of the served document, asked by six principals, of a public app and of a private
//! one: what each of them gets is a line of the table.

use std::collections::BTreeSet;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::image::Image;
use crate::person::{PASSWORD, Person};
use crate::stack::{PATIENCE, Stack};

/// Who asks, in the order of the letters in a cell: nobody; an account without a part in the app;
/// a collaborator who may push; the owner; the owner's token that has ended; the owner's token that
/// may only pull.
const WHO: [&str; 6] =
    ["anonymous", "stranger", "collaborator", "owner", "ended token", "pull token"];

/// What a route answers each of [`WHO`], a letter each: `+` the status of the row, `l` log in first
/// (401), `f` you may not (403), `h` there is no such app (404), `c` it is somebody else's (409).
struct Row {
    method: &'static str,
    path: &'static str,
    status: u16,
    public: &'static str,
    private: &'static str,
}

const fn app(
    method: &'static str,
    path: &'static str,
    status: u16,
    public: &'static str,
    private: &'static str,
) -> Row {
    Row { method, path, status, public, private }
}

/// A route that is about no app in the path.
const fn other(method: &'static str, path: &'static str, status: u16, cells: &'static str) -> Row {
    Row { method, path, status, public: cells, private: "" }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    other("GET", "/openapi.json", 200, "++++l+"),
    other("GET", "/v1/version", 200, "++++l+"),

    other("POST", "/v1/users", 201, "++++l+"),
    other("POST", "/v1/login", 200, "++++l+"),
    other("GET", "/v1/login/methods", 200, "++++l+"),
    other("POST", "/v1/login/github", 404, "++++l+"),
    other("POST", "/v1/login/github/poll", 404, "++++l+"),
    other("POST", "/v1/sessions", 201, "++++l+"),
    other("DELETE", "/v1/session", 204, "l+++l+"),
    other("GET", "/v1/user", 200, "l+++l+"),
    other("PUT", "/v1/user/password", 204, "l+++lf"),
    other("GET", "/v1/tokens", 200, "l+++lf"),
    other("POST", "/v1/tokens", 201, "l+++lf"),
    other("DELETE", "/v1/tokens/{id}", 204, "lhh+lf"),

    other("GET", "/login", 200, "++++l+"),
    other("POST", "/login", 303, "++++l+"),
    app("GET", "/login/app/{host}", 302, "+f++l+", "+h++l+"),

    other("GET", "/v1/config", 200, "l+++lf"),
    other("PUT", "/v1/config/{key}", 200, "l+++lf"),
    other("DELETE", "/v1/config/{key}", 204, "l+++lf"),

    other("GET", "/v1/apps", 200, "++++l+"),
    app("GET", "/v1/apps/{app}", 200, "++++l+", "hh++l+"),
    app("DELETE", "/v1/apps/{app}", 204, "lff+lf", "hhf+lf"),
    app("POST", "/v1/apps/{app}/claim", 200, "lcc+lf", "lcc+lf"),
    app("DELETE", "/v1/apps/{app}/claim", 200, "lff+lf", "hhf+lf"),
    app("POST", "/v1/apps/{app}/transfer", 200, "lff+lf", "hhf+lf"),
    app("GET", "/v1/apps/{app}/collaborators", 200, "lf++lf", "hh++lf"),
    app("PUT", "/v1/apps/{app}/collaborators/{user}", 200, "lff+lf", "hhf+lf"),
    // The collaborator may leave.
    app("DELETE", "/v1/apps/{app}/collaborators/{user}", 204, "lf++lf", "hh++lf"),
    app("PUT", "/v1/apps/{app}/visibility", 200, "lff+lf", "hhf+lf"),
    app("GET", "/v1/apps/{app}/releases", 200, "++++l+", "hh++l+"),
    app("GET", "/v1/apps/{app}/releases/{number}", 200, "++++l+", "hh++l+"),
    app("DELETE", "/v1/apps/{app}/releases/{number}", 204, "lf++lf", "hh++lf"),
    app("POST", "/v1/apps/{app}/rollback", 200, "lf++lf", "hh++lf"),
    app("POST", "/v1/apps/{app}/promote", 200, "lf++lf", "hh++lf"),
    app("DELETE", "/v1/apps/{app}/previews/{tag}", 204, "lf++lf", "hh++lf"),
    app("POST", "/v1/apps/{app}/access", 200, "lf++l+", "hh++l+"),

    app("GET", "/v1/apps/{app}/env", 200, "lff+lf", "hhf+lf"),
    app("PATCH", "/v1/apps/{app}/env", 200, "lff+lf", "hhf+lf"),
    app("PUT", "/v1/apps/{app}/scale", 200, "lff+lf", "hhf+lf"),
    app("GET", "/v1/apps/{app}/domains", 200, "lf++lf", "hh++lf"),
    app("PUT", "/v1/apps/{app}/domains/{domain}", 200, "lff+lf", "hhf+lf"),
    app("DELETE", "/v1/apps/{app}/domains/{domain}", 204, "lff+lf", "hhf+lf"),
    app("POST", "/v1/apps/{app}/domains/{domain}/verify", 200, "lff+lf", "hhf+lf"),
    app("POST", "/v1/apps/{app}/stop", 200, "lf++lf", "hh++lf"),
    app("POST", "/v1/apps/{app}/start", 200, "lf++lf", "hh++lf"),
    app("POST", "/v1/apps/{app}/restart", 200, "lf++lf", "hh++lf"),
    app("POST", "/v1/apps/{app}/freeze", 200, "lf++lf", "hh++lf"),
    app("GET", "/v1/apps/{app}/logs", 200, "lf++lf", "hh++lf"),
    app("GET", "/v1/apps/{app}/logs/follow", 200, "lf++lf", "hh++lf"),

    other("GET", "/v1/events", 200, "l+++lf"),
    other("GET", "/v1/events/follow", 200, "l+++lf"),
];

/// An app in the state that the routes are asked in, and those who ask.
struct World {
    stack: Stack,
    /// Follows no redirects.
    http: Client,
    stranger: Person,
    collaborator: Person,
    owner: Person,
    ended: String,
    pull: String,
    made: usize,
}

impl World {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let stranger = stack.sign_up("eve").await;
        let collaborator = stack.sign_up("bob").await;
        let owner = stack.sign_up("ada").await;
        let pull = owner.new_token(&stack, json!({ "name": "t", "scopes": ["pull"] })).await.secret;
        let ended = ended_token(&stack, &owner).await;
        let http = Client::builder().redirect(Policy::none()).timeout(PATIENCE).build().unwrap();
        Self { stack, http, stranger, collaborator, owner, ended, pull, made: 0 }
    }

    /// The token that `who` shows: a new one where the route may end it.
    async fn token(&self, who: usize, row: &Row) -> Option<String> {
        let person = match who {
            0 => return None,
            4 => return Some(self.ended.clone()),
            1 => &self.stranger,
            2 => &self.collaborator,
            _ => &self.owner,
        };
        let scope = if who == 5 { "pull" } else { "admin" };
        if row.path == "/v1/session" {
            let token =
                person.new_token(&self.stack, json!({ "name": "t", "scopes": [scope] })).await;
            return Some(token.secret);
        }
        Some(if who == 5 { self.pull.clone() } else { person.token.clone() })
    }

    /// A new app of the owner's with three releases, of which the second is live and the third is a
    /// preview, an environment and a domain.
    async fn new_app(&mut self, private: bool) -> String {
        self.made += 1;
        let app = format!("app-{}", self.made);
        for (n, tag) in [(1, "latest"), (2, "latest"), (3, "v2")] {
            Image::new(&format!("{app} {n}")).push(&self.stack, &app, tag).await;
            self.stack.release(&app, n).await;
        }
        self.owner.own(&self.stack, &app, Some(&self.collaborator), private).await;
        let login = json!({ "url_access": "login" });
        let path = format!("/v1/apps/{app}/visibility");
        let access = self.owner.put(&self.stack, &path, login).await;
        assert_eq!(access.status(), StatusCode::OK);
        let path = format!("/v1/apps/{app}/domains/www.example.org");
        let domain = self.owner.ask(&self.stack, Method::PUT, &path).send().await.unwrap();
        assert!(domain.status().is_success(), "{}", domain.text().await.unwrap());
        app
    }

    /// The path of a row, with what it is about.
    async fn path(&self, row: &Row, app: &str) -> String {
        let mut path = row.path.replace("{app}", app).replace("{host}", app);
        for (part, value) in [
            ("{user}", "bob"),
            ("{number}", "1"),
            ("{tag}", "v2"),
            ("{domain}", "www.example.org"),
            ("{key}", "owner"),
        ] {
            path = path.replace(part, value);
        }
        if path.contains("{id}") {
            let token =
                self.owner.new_token(&self.stack, json!({ "name": "t", "scopes": ["pull"] })).await;
            path = path.replace("{id}", &token.token.id);
        }
        assert!(!path.contains('{'), "{path}: say what stands there");
        path
    }

    fn body(&mut self, row: &Row, who: usize) -> Option<Value> {
        self.made += 1;
        let name = ["eve", "eve", "bob", "ada", "ada", "ada"][who];
        Some(match (row.method, row.path) {
            ("POST", "/v1/users") => {
                json!({ "name": format!("new-{}", self.made), "password": PASSWORD })
            }
            ("POST", "/login" | "/v1/login" | "/v1/sessions") => {
                json!({ "name": name, "password": PASSWORD })
            }
            ("POST", "/v1/login/github/poll") => json!({ "device": "abc" }),
            ("PUT", "/v1/user/password") => json!({ "old": PASSWORD, "new": PASSWORD }),
            ("POST", "/v1/tokens") => json!({ "name": "ci", "scopes": ["push"] }),
            ("PUT", "/v1/config/{key}") => json!({ "value": "ada" }),
            (_, "/v1/apps/{app}/transfer") => json!({ "to": "eve" }),
            ("PUT", "/v1/apps/{app}/collaborators/{user}") => json!({ "role": "push" }),
            (_, "/v1/apps/{app}/visibility") => json!({ "url_access": "login" }),
            (_, "/v1/apps/{app}/rollback") => json!({ "release": 1 }),
            (_, "/v1/apps/{app}/promote") => json!({ "tag": "v2" }),
            ("PATCH", "/v1/apps/{app}/env") => json!({ "set": { "A": "b" } }),
            (_, "/v1/apps/{app}/scale") => json!({ "max": 2 }),
            _ => return None,
        })
    }

    async fn status(&mut self, row: &Row, app: &str, who: usize) -> StatusCode {
        let token = self.token(who, row).await;
        let path = self.path(row, app).await;
        let body = self.body(row, who);
        let mut request = self.http.request(row.method.parse().unwrap(), self.stack.url(&path));
        request = match body {
            Some(body) if row.path == "/login" => request.form(&body),
            Some(body) => request.json(&body),
            None => request,
        };
        // As a page of RAC's own has it.
        request = request.header("origin", self.stack.url(""));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().status()
    }
}

/// A token of `owner`'s that ended long ago.
async fn ended_token(stack: &Stack, owner: &Person) -> String {
    let token = owner.new_token(stack, json!({ "name": "t", "scopes": ["admin"] })).await;
    let db = stack.open_database().await;
    let mut tx = db.write().await.unwrap();
    let ended = sqlx::query("update token set expires_at = 1 where token_id = $1");
    let ended = ended.bind(token.token.id).execute(&mut *tx).await.unwrap();
    assert_eq!(ended.rows_affected(), 1);
    tx.commit().await.unwrap();
    token.secret
}

/// The routes that the API says it has: `GET /v1/apps`.
async fn served(stack: &Stack) -> BTreeSet<String> {
    let document: Value = stack.get("/openapi.json").send().await.unwrap().json().await.unwrap();
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_everybody_as_the_table_says() {
    let mut world = World::new().await;
    let served = served(&world.stack).await;
    let rows: BTreeSet<_> =
        TABLE.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    let missing: Vec<_> = served.difference(&rows).collect();
    assert!(missing.is_empty(), "these routes have no row in the table: {missing:?}");
    let gone: Vec<_> = rows.difference(&served).collect();
    assert!(gone.is_empty(), "these rows have no route: {gone:?}");

    let mut wrong = Vec::new();
    for private in [false, true] {
        let mut app = None;
        for row in TABLE {
            let cells = if private { row.private } else { row.public };
            for (who, letter) in cells.chars().enumerate() {
                let name = match app.take() {
                    Some(app) => app,
                    None => world.new_app(private).await,
                };
                let expected = match letter {
                    '+' => row.status,
                    'l' => 401,
                    'f' => 403,
                    'h' => 404,
                    'c' => 409,
                    other => panic!("{}: no cell is {other}", row.path),
                };
                let status = world.status(row, &name, who).await;
                if status != expected {
                    let kind = if private { "private" } else { "public" };
                    wrong.push(format!(
                        "{} {} of a {kind} app, {}: {status}, not {expected}",
                        row.method, row.path, WHO[who]
                    ));
                }
                // What changed something is not asked again.
                if row.method == "GET" || !status.is_success() {
                    app = Some(name);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
