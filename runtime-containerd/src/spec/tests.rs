use rac_model::{AppSpec, ContainerConfig, Digest, HostLabel, Tag};

use super::*;
use crate::image::User;

fn image() -> Image {
    let config = ContainerConfig {
        env: vec!["LANG=C".to_owned(), "PORT=1".to_owned()],
        entrypoint: vec!["/app".to_owned()],
        cmd: vec!["serve".to_owned()],
        working_dir: "/srv".to_owned(),
        volumes: ["/data".to_owned()].into(),
        labels: [("containerd.io/restart.status".to_owned(), "running".to_owned())].into(),
        ..ContainerConfig::default()
    };
    let user = User { uid: 1000, gid: 1001, groups: vec![1002] };
    Image { config, user, range: 1_048_576 }
}

fn route() -> Route {
    Route {
        host: HostLabel::of_app(&"shop".parse().unwrap()),
        app: "shop".parse().unwrap(),
        tag: Tag::latest(),
        release: 7,
        image: Digest::of(b"manifest"),
        spec: AppSpec::default(),
        env: None,
        url_access: Default::default(),
        stopped: false,
        expires_at: None,
        life: 0,
    }
}

fn written(image: &Image, route: &Route) -> Value {
    written_with(image, route, &Env::default())
}

fn written_with(image: &Image, route: &Route, env: &Env) -> Value {
    let volumes =
        image.config.volumes.iter().map(|path| ("/home/volume".into(), path.clone())).collect();
    let inputs = Inputs {
        route,
        env,
        image,
        netns: "/run/rac-7000/netns/a".into(),
        sys: "/run/rac-7000/sys/a".into(),
        etc: "/run/rac-7000/instances/shop-1".into(),
        resolv: "/run/rac-7000/resolv.conf".into(),
        cgroup: "/rac-7000/shop-1".to_owned(),
        limits_swap: true,
        volumes,
    };
    serde_json::to_value(spec(&inputs).unwrap()).unwrap()
}

/// What an instance may do is decided here. A change of this file is a change of the security of
/// every app, and is to be read as one.
#[test]
fn the_specification_is_the_golden_one() {
    let mut written = written(&image(), &route());
    // The table of system calls has tests of its own.
    let seccomp = written["linux"]["seccomp"].take();
    assert_eq!(seccomp["defaultAction"], "SCMP_ACT_ERRNO");
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert_eq!(written, golden, "{}", serde_json::to_string_pretty(&written).unwrap());
}

#[test]
fn nothing_of_an_image_but_what_is_meant_reaches_the_specification() {
    let text = written(&image(), &route()).to_string();
    assert!(!text.contains("containerd.io/restart"), "labels are not the engine's");
    assert!(!text.contains("\"PORT=1\""), "RAC says where the app listens");
}

#[test]
fn a_volume_may_stand_where_the_private_tmp_would() {
    let mut image = image();
    image.config.volumes = ["/tmp/".to_owned()].into();
    let written = written(&image, &route());
    let mounts = written["mounts"].as_array().unwrap();
    let tmp: Vec<_> =
        mounts.iter().filter(|m| m["destination"].as_str().unwrap().starts_with("/tmp")).collect();
    assert_eq!(tmp.len(), 1);
    assert_eq!(tmp[0]["type"], "bind");
}

#[test]
fn what_the_owner_sets_goes_over_the_image_and_under_rac() {
    let own = [("LANG", "de"), ("PORT", "1"), ("HOSTNAME", "x"), ("PATH", "/own"), ("KEY", "a=b")];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let env = Env::from(std::collections::BTreeMap::from(own));
    let written = written_with(&image(), &route(), &env);
    let expected = ["KEY=a=b", "LANG=de", "PATH=/own", "HOSTNAME=shop", "PORT=8080"];
    assert_eq!(written["process"]["env"], serde_json::json!(expected));
}
