use super::*;

fn config(change: impl FnOnce(&mut ContainerConfig)) -> ImageConfig {
    let mut image = ImageConfig::default();
    image.config.cmd = vec!["/app".to_owned()];
    change(&mut image.config);
    image
}

#[track_caller]
fn refused(change: impl FnOnce(&mut ContainerConfig)) -> InvalidImageConfig {
    config(change).check("amd64").unwrap_err()
}

#[test]
fn dockers_nulls_and_sets_are_read() {
    let json = r#"{"architecture":"amd64","os":"linux","created":"x","config":{
        "Env":null,"Cmd":["/app"],"Labels":null,"Entrypoint":null,"OnBuild":null,
        "ExposedPorts":{"8080/tcp":{}},"Volumes":{"/data":{}},
        "Healthcheck":{"Test":["CMD","/app","health"],"Interval":1}},
        "rootfs":{"type":"layers","diff_ids":[]}}"#;
    let image: ImageConfig = serde_json::from_str(json).unwrap();
    assert_eq!(image.check("amd64"), Ok(()));
    assert!(image.config.exposed_ports.contains("8080/tcp"));
    assert!(image.config.volumes.contains("/data"));
    let again = serde_json::to_string(&image).unwrap();
    assert_eq!(serde_json::from_str::<ImageConfig>(&again).unwrap(), image);
}

#[test]
fn an_image_without_configuration_has_nothing_to_run() {
    let image: ImageConfig = serde_json::from_str(r#"{"config":null}"#).unwrap();
    assert_eq!(image.check("amd64"), Err(InvalidImageConfig::NoCommand));
}

#[test]
fn an_image_for_another_machine_is_refused() {
    let mut image = config(|_| {});
    image.os = "linux".to_owned();
    image.architecture = "arm64".to_owned();
    assert!(matches!(image.check("amd64"), Err(InvalidImageConfig::Platform { .. })));
    assert_eq!(image.check("arm64"), Ok(()));
}

#[test]
fn a_user_outside_the_range_is_refused() {
    for good in ["", "0", "65535", "nobody", "1000:1000", "app:www-data"] {
        assert_eq!(config(|c| c.user = good.to_owned()).check("amd64"), Ok(()), "{good:?}");
    }
    for bad in ["65536", "4294967296", "-1", "1000:", ":1000", "a b", "1:2:3", "/root"] {
        assert!(
            matches!(refused(|c| c.user = bad.to_owned()), InvalidImageConfig::User(_)),
            "{bad}"
        );
    }
}

#[test]
fn a_path_into_what_the_kernel_shows_is_refused() {
    let bad = [
        "/proc/self/fd/8",
        "//proc/1",
        "/./proc",
        "/a/../proc",
        "/sys",
        "/dev/shm",
        "data",
        "/a\0",
    ];
    for path in bad {
        let path = path.to_owned();
        assert!(matches!(
            refused(|c| c.working_dir = path.clone()),
            InvalidImageConfig::Path { .. }
        ));
        let volumes = BTreeSet::from([path]);
        assert!(matches!(refused(|c| c.volumes = volumes), InvalidImageConfig::Path { .. }));
    }
    let root = BTreeSet::from(["/".to_owned()]);
    assert!(matches!(refused(|c| c.volumes = root), InvalidImageConfig::Path { .. }));
}

#[test]
fn a_stop_signal_has_a_name_or_a_number() {
    let signal = |s: &str| config(|c| c.stop_signal = s.to_owned()).config.signal();
    assert_eq!(signal(""), Ok(15));
    assert_eq!(signal("SIGQUIT"), Ok(3));
    assert_eq!(signal("int"), Ok(2));
    assert_eq!(signal("SIGRTMIN+3"), Ok(37));
    assert_eq!(signal("9"), Ok(9));
    for bad in ["0", "65", "SIGWHAT", "-9", "RTMIN+99", "RTMIN+4294967295"] {
        assert!(signal(bad).is_err(), "{bad}");
    }
}

#[test]
fn more_environment_than_the_limit_is_refused() {
    let many = vec!["A=b".to_owned(); MAX_ENV + 1];
    assert!(matches!(refused(|c| c.env = many), InvalidImageConfig::TooMany { .. }));
    let large = vec![format!("A={}", "b".repeat(MAX_ENV_BYTES))];
    assert!(matches!(refused(|c| c.env = large), InvalidImageConfig::TooMany { .. }));
    for bad in ["A", "=b", "A=\0"] {
        let env = vec![bad.to_owned()];
        assert!(matches!(refused(|c| c.env = env), InvalidImageConfig::Env(_)), "{bad:?}");
    }
}
