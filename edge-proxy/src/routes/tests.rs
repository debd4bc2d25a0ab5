use std::fs;

use rac_model::{AppSpec, Digest};
use tempfile::TempDir;

use super::*;

fn home() -> (TempDir, PathBuf) {
    let home = TempDir::new().unwrap();
    let path = home.path().join("routes.redb");
    (home, path)
}

fn route(host: &str, release: u64) -> Route {
    let host: HostLabel = host.parse().unwrap();
    Route {
        app: host.app().parse().unwrap(),
        tag: "latest".parse().unwrap(),
        release,
        image: Digest::of(release.to_string().as_bytes()),
        spec: AppSpec::default(),
        env: None,
        url_access: Default::default(),
        stopped: false,
        expires_at: None,
        life: 0,
        host,
    }
}

fn set(host: &str, release: u64) -> Change {
    Change::Set(Box::new(route(host, release)))
}

fn removed(host: &str) -> Change {
    Change::Removed(host.parse().unwrap())
}

fn at(number: u64) -> Position {
    Position { epoch: "a".to_owned(), number }
}

fn release(routes: &Routes, host: &str) -> Option<u64> {
    routes.get(&host.parse().unwrap()).unwrap().map(|route| route.release)
}

#[test]
fn a_route_survives_a_restart_with_its_place_in_the_feed() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    assert_eq!((routes.position().unwrap(), routes.is_empty().unwrap()), (None, true));
    routes.apply(vec![set("shop", 1), set("v2--shop", 2)], &at(7)).unwrap();
    drop(routes);

    let routes = Routes::open(&path).unwrap();
    assert_eq!(routes.get(&"shop".parse().unwrap()).unwrap(), Some(route("shop", 1)));
    assert_eq!(routes.get(&"v2--shop".parse().unwrap()).unwrap(), Some(route("v2--shop", 2)));
    assert_eq!(release(&routes, "other"), None);
    assert_eq!((routes.position().unwrap(), routes.len().unwrap()), (Some(at(7)), 2));
}

#[test]
fn only_what_differs_is_news() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    let all = vec![set("a", 1), set("b", 1)];
    assert_eq!(routes.apply(all.clone(), &at(1)).unwrap(), all);
    let news = routes.apply(vec![set("a", 1), set("b", 2), removed("c")], &at(2)).unwrap();
    assert_eq!(news, [set("b", 2)]);
    assert_eq!(routes.apply(vec![removed("a")], &at(3)).unwrap(), [removed("a")]);
    assert_eq!(release(&routes, "a"), None);
}

#[test]
fn a_full_list_removes_what_it_does_not_name_and_only_at_its_end() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    routes.apply(vec![set("a", 1), set("b", 1), set("c", 1), set("d", 1)], &at(1)).unwrap();

    let replacement = routes.replace().unwrap();
    let page = vec![set("a", 1), set("b", 2), Change::Kept("d".parse().unwrap())];
    assert_eq!(replacement.apply(page).unwrap(), [set("b", 2)]);
    assert_eq!(release(&routes, "c"), Some(1), "served until the end");
    assert_eq!(routes.position().unwrap(), Some(at(1)), "not complete yet");

    assert_eq!(replacement.finish(&at(9)).unwrap(), ["c".parse().unwrap()]);
    let releases = ["a", "b", "c", "d"].map(|host| release(&routes, host));
    assert_eq!(releases, [Some(1), Some(2), None, Some(1)]);
    assert_eq!(routes.position().unwrap(), Some(at(9)));
}

#[test]
fn a_full_list_that_was_cut_off_removes_nothing_and_the_next_one_starts_over() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    routes.apply(vec![set("a", 1), set("b", 1)], &at(1)).unwrap();
    routes.replace().unwrap().apply(vec![set("a", 2), set("x", 2)]).unwrap();
    drop(routes);

    let routes = Routes::open(&path).unwrap();
    let releases = ["a", "b", "x"].map(|host| release(&routes, host));
    assert_eq!(releases, [Some(2), Some(1), Some(2)]);
    assert_eq!(routes.position().unwrap(), Some(at(1)));

    let replacement = routes.replace().unwrap();
    replacement.apply(vec![set("b", 3)]).unwrap();
    let mut gone = replacement.finish(&at(2)).unwrap();
    gone.sort();
    assert_eq!(gone, ["a".parse().unwrap(), "x".parse().unwrap()]);
    assert_eq!(routes.len().unwrap(), 1);
}

#[test]
fn a_change_between_two_lists_belongs_to_the_last() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    routes.replace().unwrap().finish(&at(1)).unwrap();
    routes.apply(vec![set("a", 1)], &at(2)).unwrap();
    let gone = routes.replace().unwrap().finish(&at(3)).unwrap();
    assert_eq!(gone, ["a".parse().unwrap()]);
}

#[test]
fn an_app_has_its_own_route_and_its_previews_and_no_neighbours() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    let hosts = ["shop", "v2--shop", "shop-2", "shop2", "v2--shop-2", "sho", "a--sho", "shop--sho"];
    routes.apply(hosts.iter().map(|host| set(host, 1)).collect(), &at(1)).unwrap();
    let of = |app: &str| -> Vec<String> {
        let routes = routes.for_app(&app.parse().unwrap()).unwrap();
        routes.iter().map(|route| route.host.to_string()).collect()
    };
    assert_eq!(of("shop"), ["shop", "v2--shop"]);
    assert_eq!(of("sho"), ["sho", "a--sho", "shop--sho"]);
    assert_eq!(of("nothing"), Vec::<String>::new());
}

#[test]
fn an_image_is_named_once_for_each_app_that_runs_it() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    let changes = vec![set("a", 1), set("v1--a", 1), set("v2--a", 2), set("v3--a", 1), set("b", 1)];
    routes.apply(changes, &at(1)).unwrap();
    let expected = [route("a", 1), route("a", 2), route("b", 1)].map(|route| route.image());
    assert_eq!(routes.images().unwrap(), expected);
}

#[test]
fn a_record_that_cannot_be_read_is_skipped_and_counted() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    routes.apply(vec![set("good", 1)], &at(1)).unwrap();
    let strange: [&[u8]; 4] = [b"", b"\x01", b"\x02\0\0\0\0\0\0\0\0{}", b"\x01\0\0\0\0\0\0\0\0{]"];
    let added = routes.write("add strange records", |transaction| {
        let mut table = transaction.open_table(ROUTES)?;
        for (number, record) in strange.iter().enumerate() {
            table.insert(format!("bad{number}").as_str(), *record)?;
        }
        Ok(())
    });
    added.unwrap();
    for number in 0..strange.len() {
        assert_eq!(release(&routes, &format!("bad{number}")), None);
    }
    assert_eq!(routes.skipped(), 4);
    assert_eq!(routes.images().unwrap(), [route("good", 1).image()]);
    let replacement = routes.replace().unwrap();
    replacement.apply(vec![set("good", 1), set("bad0", 1)]).unwrap();
    assert_eq!(replacement.finish(&at(2)).unwrap(), []);
    assert_eq!(routes.len().unwrap(), 2);
}

#[test]
fn a_file_that_is_in_use_is_left_alone() {
    let (_home, path) = home();
    let first = Routes::open(&path).unwrap();
    first.apply(vec![set("a", 1)], &at(1)).unwrap();
    assert!(matches!(Routes::open(&path), Err(RoutesError::InUse(_))));
    assert_eq!(release(&first, "a"), Some(1));
}

#[test]
fn a_file_of_another_version_is_moved_aside() {
    let (home, path) = home();
    let routes = Routes::open(&path).unwrap();
    let write = |transaction: &redb::WriteTransaction| {
        transaction.open_table(ABOUT)?.insert(FORMAT, "99")?;
        Ok(())
    };
    routes.write("change the version", write).unwrap();
    drop(routes);
    assert!(Routes::open(&path).unwrap().is_empty().unwrap());
    assert!(home.path().join("routes.redb.broken").exists());
}

#[test]
fn a_file_that_is_no_copy_of_routes_is_moved_aside() {
    let (home, path) = home();
    for rubbish in [vec![0; 100], vec![0xff; 1 << 20], b"SQLite format 3\0".repeat(999)] {
        fs::write(&path, rubbish).unwrap();
        let routes = Routes::open(&path).unwrap();
        routes.apply(vec![set("a", 1)], &at(1)).unwrap();
        assert_eq!(release(&routes, "a"), Some(1));
    }
    assert!(home.path().join("routes.redb.broken").exists());
}

/// Flips bytes and cuts ends off, at places that are the same in every run.
#[test]
fn a_damaged_file_is_read_right_or_thrown_away() {
    let (_home, path) = home();
    let hosts: Vec<String> = (0..2000).map(|number| format!("app-{number}")).collect();
    let routes = Routes::open(&path).unwrap();
    routes.apply(hosts.iter().map(|host| set(host, 1)).collect(), &at(1)).unwrap();
    drop(routes);
    let good = fs::read(&path).unwrap();
    let mut thrown_away = 0;
    for round in 0..120_usize {
        let mut bad = good.clone();
        let place = round * 7919 * 131 % if round < 60 { 4096 } else { bad.len() };
        if round % 10 == 9 {
            bad.truncate(place)
        } else {
            bad[place] ^= 0x55
        }
        fs::write(&path, &bad).unwrap();
        let routes = Routes::open(&path).unwrap();
        let found: Vec<Route> =
            hosts.iter().filter_map(|host| routes.get(&host.parse().unwrap()).unwrap()).collect();
        assert!(found.iter().all(|found| *found == route(found.host.as_str(), 1)), "{round}");
        thrown_away += usize::from(found.is_empty());
    }
    assert!(thrown_away > 20, "only {thrown_away} noticed");
}

#[test]
fn an_environment_that_was_sealed_anew_is_no_change() {
    let (_home, path) = home();
    let routes = Routes::open(&path).unwrap();
    let sealed = |release: u64, env: Option<&str>| {
        Change::Set(Box::new(Route { env: env.map(str::to_owned), ..route("shop", release) }))
    };
    let news = |change: Change| !routes.apply(vec![change], &at(1)).unwrap().is_empty();
    assert!(news(sealed(1, Some("once"))));
    assert!(!news(sealed(1, Some("again"))));
    assert!(news(sealed(2, Some("another"))));
    assert!(news(sealed(2, None)));
    let stopped = Route { stopped: true, ..route("shop", 2) };
    assert!(news(Change::Set(Box::new(stopped))));
}
