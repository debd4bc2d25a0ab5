use rac_model::{AppName, HostLabel, Route};

/// Whether two routes of a host are the same. A release's environment never changes, and each time
/// it is sent it is sealed anew.
pub(crate) fn same(one: &Route, other: &Route) -> bool {
    let plain = |route: &Route| Route { env: None, ..route.clone() };
    one.env.is_some() == other.env.is_some() && plain(one) == plain(other)
}

/// The first byte of a record: how the rest is written.
const VERSION: u8 = 1;
/// The version and the generation.
const HEAD: usize = 1 + size_of::<u64>();
/// Parts app and tag in a key. No app's name holds it.
const SEPARATOR: &str = "--";

/// The key of a host: `shop` for an app and `shop--v2` for its preview `v2--shop`, so that all
/// records of an app stand together.
pub(super) fn key(host: &HostLabel) -> String {
    match host.as_str().rsplit_once(SEPARATOR) {
        Some((tag, app)) => format!("{app}{SEPARATOR}{tag}"),
        None => host.to_string(),
    }
}

/// The first key that can belong to `app`, and one behind the last.
pub(super) fn keys_of(app: &AppName) -> (String, String) {
    // In ASCII `.` follows `-`, and only a preview's key goes on with two hyphens.
    (app.to_string(), format!("{app}-."))
}

/// A record: its version, the generation that it was last sent in, and the route in JSON.
pub(super) fn encode(route: &Route, generation: u64) -> Result<Vec<u8>, serde_json::Error> {
    let mut record = Vec::with_capacity(512);
    record.push(VERSION);
    record.extend_from_slice(&generation.to_le_bytes());
    serde_json::to_writer(&mut record, route)?;
    Ok(record)
}

/// The same record in another generation.
pub(super) fn renewed(record: &[u8], generation: u64) -> Option<Vec<u8>> {
    let mut renewed = record.to_vec();
    renewed.get_mut(1..HEAD)?.copy_from_slice(&generation.to_le_bytes());
    Some(renewed)
}

/// The route of a record, if this program can read it.
pub(super) fn decode(record: &[u8]) -> Option<Route> {
    let (version, _) = record.split_first()?;
    if *version != VERSION {
        return None;
    }
    serde_json::from_slice(record.get(HEAD..)?).ok()
}

/// The generation that a record was last sent in.
pub(super) fn generation(record: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(record.get(1..HEAD)?.try_into().ok()?))
}

/// Whether two records lead to the same, whatever their generations are and however often their
/// environment was sealed.
pub(super) fn same_route(one: &[u8], other: &[u8]) -> bool {
    if one.first() == other.first() && one.get(HEAD..) == other.get(HEAD..) {
        return true;
    }
    match (decode(one), decode(other)) {
        (Some(one), Some(other)) => same(&one, &other),
        _ => false,
    }
}
