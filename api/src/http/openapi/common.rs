//! What the routes have in common: who may ask, and the errors that follow from it.

use actix_web::http::Method;
use rac_model::{AppName, Problem, Tag, UserName};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, SchemaType};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    Content, Header, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::super::endpoint::Endpoint;
use super::{SESSION, TOKEN};
use crate::access::{Action, Rule};

/// The errors that more than one route has: the status, the name, what it means.
const ERRORS: &[(&str, &str, &str)] = &[
    ("400", "BadRequest", "Something in the request is not as it must be."),
    ("401", "Unauthorized", "Nobody is logged in, or what was shown is wrong or has ended."),
    ("403", "Forbidden", "Whoever asks is known, and may not."),
    ("404", "NotFound", "It is not there, or not for whoever asks."),
    ("409", "Conflict", "It cannot be done as things stand."),
    ("422", "Unprocessable", "The request is understood, and cannot be done."),
    ("429", "TooMany", "Too much, or too often: `Retry-After` says when to try again."),
    ("500", "Internal", "Something went wrong in RAC."),
    ("502", "Elsewhere", "Another server that is needed does not answer."),
    ("503", "Unavailable", "A part of RAC that is needed does not answer: try again in a moment."),
];

/// What people see in a browser, of errors too.
const PAGE: &str = "text/html";

/// The errors as shared parts of the document.
pub(super) fn responses() -> impl Iterator<Item = (String, RefOr<Response>)> {
    ERRORS.iter().map(|(status, name, about)| {
        let mut response = ResponseBuilder::new().description(*about);
        match *status {
            "401" => response = response.header("WWW-Authenticate", header(Type::String)),
            "429" | "503" => response = response.header("Retry-After", header(Type::Integer)),
            _ => {}
        }
        ((*name).to_owned(), RefOr::T(response.content(Problem::MEDIA_TYPE, problem()).build()))
    })
}

/// Adds to `operation` what follows from where and by whom it may be asked.
pub(super) fn complete(operation: &mut Operation, endpoint: &Endpoint) {
    let rule_text = ExtensionsBuilder::new().add("x-rac-rule", rule(endpoint.rule)).build();
    operation.extensions.get_or_insert_default().merge(rule_text);
    operation.security = Some(security(endpoint.rule));
    add_parameters(operation, endpoint.path);
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.name == "app" {
            parameter.schema = Some(app_name());
        }
        never_null(&mut parameter.schema);
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.required = Some(Required::True);
    }
    for (status, name, _) in ERRORS {
        if is_possible(status, operation, endpoint) {
            let shared = || RefOr::Ref(Ref::from_response_name(*name));
            operation.responses.responses.entry((*status).to_owned()).or_insert_with(shared);
        }
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description = "It went well.".to_owned();
        }
        if status.as_str() >= "400" && !response.content.contains_key(PAGE) {
            response.content.clear();
            response.content.insert(Problem::MEDIA_TYPE.to_owned(), RefOr::T(problem()));
        }
    }
}

/// A parameter can be left out, and cannot be `null`: it is text.
fn never_null(schema: &mut Option<RefOr<Schema>>) {
    match schema {
        Some(RefOr::T(Schema::Object(object))) => {
            if let SchemaType::Array(types) = &mut object.schema_type {
                types.retain(|kind| *kind != Type::Null);
                if let [only] = types.as_slice() {
                    object.schema_type = SchemaType::Type(only.clone());
                }
            }
        }
        Some(RefOr::T(Schema::OneOf(one_of))) => {
            let null = SchemaType::Type(Type::Null);
            one_of.items.retain(|item| {
                !matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == null)
            });
            if one_of.items.len() == 1 {
                *schema = one_of.items.pop();
            }
        }
        _ => {}
    }
}

/// Says of an enum whose variants are objects of one field that there is one field, as it is read.
pub(super) fn close(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::OneOf(one_of)) = schema else { return };
    for item in &mut one_of.items {
        if let RefOr::T(Schema::Object(object)) = item
            && object.properties.len() == 1
            && object.required.len() == 1
        {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// Whether a route can be refused like this, without its handler having a say.
fn is_possible(status: &str, operation: &Operation, endpoint: &Endpoint) -> bool {
    let takes_something = operation.request_body.is_some()
        || operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    let of_an_app = matches!(endpoint.rule, Rule::App(_));
    let asks_for_a_right = matches!(endpoint.rule, Rule::Account(_) | Rule::App(_));
    match status {
        "400" => takes_something,
        // What is shown is looked at even where nothing needs to be.
        "401" | "429" | "500" | "503" => true,
        // A browser's request that changes something has to come from RAC's own pages.
        "403" => asks_for_a_right || endpoint.method != Method::GET,
        "404" => of_an_app,
        // Whoever wants to change an app that belongs to nobody is told to claim it.
        "409" => of_an_app && !is_open(endpoint.rule),
        _ => false,
    }
}

/// What a route needs of whoever asks, in a few words.
pub(super) fn rule(rule: Rule) -> String {
    match rule {
        Rule::Anybody => "anybody".to_owned(),
        Rule::AnyAccount => "an account".to_owned(),
        Rule::Account(scope) => format!("an account, with the scope {}", scope.as_str()),
        Rule::App(action) => {
            let right = match action {
                Action::See => "see",
                Action::Inspect => "inspect",
                Action::Deploy => "deploy",
                Action::Configure => "configure",
                Action::Own => "own",
            };
            format!("the right to {right} the app")
        }
    }
}

/// Whether the rule alone can let somebody pass who is not logged in.
pub(super) fn is_open(rule: Rule) -> bool {
    matches!(rule, Rule::Anybody | Rule::App(Action::See | Action::Inspect))
}

fn security(rule: Rule) -> Vec<SecurityRequirement> {
    let scopes = match rule {
        Rule::Account(scope) => vec![scope.as_str()],
        _ => Vec::new(),
    };
    let mut ways = Vec::new();
    if is_open(rule) {
        ways.push(SecurityRequirement::default());
    }
    ways.push(SecurityRequirement::new(TOKEN, scopes));
    ways.push(SecurityRequirement::new(SESSION, Vec::<String>::new()));
    ways
}

/// Describes the parts of the path that are the same everywhere.
fn add_parameters(operation: &mut Operation, path: &str) {
    for part in path.split('/') {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            continue;
        };
        let Some(shared) = parameter(name) else { continue };
        let parameters = operation.parameters.get_or_insert_default();
        parameters.retain(|own| match own {
            RefOr::T(own) => own.name != name,
            RefOr::Ref(_) => true,
        });
        parameters.push(RefOr::T(shared));
    }
}

fn parameter(name: &str) -> Option<Parameter> {
    let (about, schema) = match name {
        "app" => ("The app's name.", app_name()),
        "user" => ("The account's name.", user_name()),
        "tag" => ("The tag, as it was pushed.", Tag::schema()),
        "domain" => ("The domain, in lower case.", text(DOMAIN, Some(253), "www.example.org")),
        "id" => ("The token's id.", text(ID, Some(64), "0193e2a4-7c1d-7f00-8000-000000000000")),
        // What is no label gets a page that says so.
        "host" => ("The first label of the URL's host.", text(NO_NUL, None, "myapp")),
        "key" => ("The setting.", text(KEY, Some(300), "git.git.example.token")),
        _ => return None,
    };
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(about))
        .schema(Some(schema));
    Some(parameter.build())
}

/// A host name with a dot in it, whose last label is no number.
const DOMAIN: &str = "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$";
/// What tokens are told apart by.
const ID: &str = "^[0-9A-Za-z-]+$";
/// Anything that can stand in a path.
const NO_NUL: &str = "^[^\\x00]+$";
/// The names of a user's own settings.
const KEY: &str = "^(owner|git\\.[a-z0-9-]{1,63}(\\.[a-z0-9-]{1,63})*(:[0-9]{1,4})?\\.token|\
                   registry\\.[a-z0-9-]{1,63}(\\.[a-z0-9-]{1,63})*(:[0-9]{1,4})?)$";

/// An app's name. The attribute at the type cannot name the reserved ones.
pub(super) fn app_name() -> RefOr<Schema> {
    except(AppName::schema(), AppName::RESERVED)
}

/// An account's name.
pub(super) fn user_name() -> RefOr<Schema> {
    except(UserName::schema(), UserName::RESERVED)
}

/// A text that is none of `names`.
fn except(mut schema: RefOr<Schema>, names: &[&str]) -> RefOr<Schema> {
    if let RefOr::T(Schema::Object(object)) = &mut schema
        && let Some(pattern) = &mut object.pattern
    {
        let names = names.join("|");
        *pattern = format!("^(?!({names})$){}", pattern.trim_start_matches('^'));
    }
    schema
}

fn text(pattern: &str, longest: Option<usize>, example: &str) -> RefOr<Schema> {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .max_length(longest)
        .examples([example]);
    RefOr::T(Schema::Object(schema.build()))
}

fn header(kind: Type) -> Header {
    let schema = ObjectBuilder::new().schema_type(kind).build();
    let mut header = Header::default();
    header.schema = Some(RefOr::T(Schema::Object(schema)));
    header
}

fn problem() -> Content {
    Content::new(Some(Ref::from_schema_name(Problem::name())))
}
