use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn record(release: u64, text: &str) -> Record {
    Record {
        at: OffsetDateTime::from_unix_timestamp(release as i64).unwrap(),
        release,
        instance: format!("i-{release}"),
        stream: LogStream::Stdout,
        host: "shop".parse().unwrap(),
        text: text.to_owned(),
    }
}

fn store() -> (tempfile::TempDir, Store, AppName) {
    let home = tempfile::tempdir().unwrap();
    let store = Store::new(home.path().join("logs"));
    (home, store, "shop".parse().unwrap())
}

fn all() -> Query {
    Query { lines: 1_000_000, since: None, release: None }
}

fn texts(lines: Vec<LogLine>) -> Vec<String> {
    lines.into_iter().map(|line| line.text).collect()
}

#[test]
fn the_newest_lines_that_are_wanted_are_read() {
    let (_home, store, app) = store();
    assert!(store.read(&app, &all(), "here").unwrap().0.is_empty());
    store.append(&app, &[record(1, "a"), record(2, "b"), record(2, "c")]).unwrap();
    let read = |query: Query| texts(store.read(&app, &query, "here").unwrap().0);
    assert_eq!(read(all()), ["a", "b", "c"]);
    assert_eq!(read(Query { lines: 2, ..all() }), ["b", "c"]);
    assert_eq!(read(Query { lines: 0, ..all() }), [""; 0]);
    assert_eq!(read(Query { release: Some(1), ..all() }), ["a"]);
    let since = OffsetDateTime::from_unix_timestamp(2).ok();
    assert_eq!(read(Query { since, ..all() }), ["b", "c"]);
    let mode = |name: &str| fs::metadata(store.of(&app).join(name)).unwrap().permissions().mode();
    assert_eq!((mode(CURRENT) & 0o777, mode(".") & 0o777), (0o600, 0o700));
}

#[test]
fn a_log_keeps_the_last_five_megabytes_and_not_much_more() {
    let (_home, store, app) = store();
    let line = "x".repeat(1000);
    for number in 0..16 {
        let records: Vec<Record> = (0..1000).map(|_| record(number, &line)).collect();
        store.append(&app, &records).unwrap();
    }
    let lines = store.read(&app, &all(), "here").unwrap().0;
    let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
    assert!((5_000_000..11_000_000).contains(&bytes), "{bytes}");
    assert_eq!(lines.last().unwrap().release, 15);
    let files = fs::read_dir(store.of(&app)).unwrap().flatten();
    assert!(files.map(|file| file.metadata().unwrap().len()).sum::<u64>() < 12_000_000);
}

#[test]
fn a_follower_misses_nothing_when_the_log_turns_a_page() {
    let (_home, store, app) = store();
    store.append(&app, &[record(1, "before")]).unwrap();
    let (_, mut place) = store.read(&app, &all(), "here").unwrap();
    store.append(&app, &[record(1, "last")]).unwrap();
    fs::rename(store.of(&app).join(CURRENT), store.of(&app).join(OLD)).unwrap();
    store.append(&app, &[record(1, "first")]).unwrap();
    let mut next = || texts(place.next(&all(), "here").unwrap().0);
    assert_eq!([next(), next(), next()], [vec!["last"], vec!["first"], vec![]]);
}

#[test]
fn the_last_lines_of_an_instance_are_its_own() {
    let (_home, store, app) = store();
    let mut note = record(1, "started");
    note.stream = LogStream::Rac;
    store
        .append(&app, &[record(1, "one"), record(2, "other"), note, record(1, "a long one")])
        .unwrap();
    assert_eq!(store.last_of(&app, "i-1", 20, 6).unwrap(), ["one", "a long"]);
    assert_eq!(store.last_of(&app, "i-1", 1, 100).unwrap(), ["a long one"]);
    assert_eq!(store.last_of(&app, "i-9", 20, 100).unwrap(), [""; 0]);
}

#[test]
fn the_log_of_a_removed_app_goes_a_week_after_its_last_line() {
    let (_home, store, app) = store();
    store.append(&app, &[record(1, "a")]).unwrap();
    assert_eq!(store.retain(|_| false), 0);
    let old = SystemTime::now() - KEPT - Duration::from_secs(60);
    for path in [store.of(&app).join(CURRENT), store.of(&app)] {
        File::open(path).unwrap().set_modified(old).unwrap();
    }
    assert_eq!(store.retain(|_| true), 0);
    assert_eq!(store.retain(|_| false), 1);
    assert!(!store.has(&app));
}
