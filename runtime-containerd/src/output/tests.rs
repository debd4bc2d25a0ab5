use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use rac_model::Digest;
use rac_runtime::contract;

use super::*;

struct Place {
    outputs: Outputs,
    spec: InstanceSpec,
    stdout: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("rac-out-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&directory).unwrap();
        let image = rac_model::ImageRef { app: "shop".parse().unwrap(), digest: Digest::of(b"x") };
        let spec = contract::spec("i-1", &image);
        let outputs = Outputs { link: directory.clone(), directory, state: Mutex::default() };
        let stdout = outputs.begin(&spec).unwrap().stdout.into();
        Self { outputs, spec, stdout }
    }

    fn write(&self, text: &[u8]) {
        let mut file = File::options().append(true).open(&self.stdout).unwrap();
        file.write_all(text).unwrap();
    }

    fn taken(&self) -> String {
        let taken = self.outputs.take().unwrap();
        taken.into_iter().map(|output| String::from_utf8(output.text).unwrap()).collect()
    }

    /// What the next process knows.
    fn restarted(&self) {
        *self.outputs.state.lock() = State::default();
        self.outputs.take_over(&self.spec.id);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.outputs.directory);
    }
}

#[test]
fn whole_lines_are_taken_once() {
    let place = Place::new();
    assert_eq!(place.taken(), "");
    place.write(b"one\ntwo\nthr");
    assert_eq!(place.taken(), "one\ntwo\n");
    assert_eq!(place.taken(), "");
    place.write(b"ee\n");
    assert_eq!(place.taken(), "three\n");
}

#[test]
fn the_next_process_goes_on_where_the_last_one_was() {
    let place = Place::new();
    place.write(&b"0123456\n".repeat(1000));
    place.write(b"half");
    assert_eq!(place.taken().len(), 8000);
    place.restarted();
    assert_eq!(place.taken(), "");
    place.write(b" a line\n");
    place.restarted();
    assert_eq!(place.taken(), "half a line\n");
    place.restarted();
    assert_eq!(place.taken(), "");
}

#[test]
fn of_an_instance_that_is_gone_the_rest_is_taken_and_then_nothing_is_left() {
    let place = Place::new();
    place.write(b"all\nbut this");
    place.outputs.end(&place.spec.id);
    assert_eq!(place.taken(), "all\nbut this");
    assert_eq!(place.taken(), "");
    assert_eq!(fs::read_dir(&place.outputs.directory).unwrap().count(), 0);
}

#[test]
fn an_app_that_writes_without_end_takes_no_room_and_loses_the_oldest() {
    let place = Place::new();
    for _ in 0..3 {
        place.write(&b"0123456789abcde\n".repeat(1 << 20));
        let outputs = place.outputs.take().unwrap();
        assert!(outputs[0].left_out >= 10 << 20, "{}", outputs[0].left_out);
        assert!(outputs[0].text.len() as u64 <= file::MAX_TAKEN);
    }
    while !place.taken().is_empty() {}
    let room = fs::metadata(&place.stdout).unwrap().blocks() * 512;
    assert!(room <= 8192, "{room} bytes are taken");
}

#[test]
fn a_line_without_an_end_is_taken_in_pieces() {
    let place = Place::new();
    place.write(&[b'x'; 20_000]);
    assert_eq!(place.taken().len(), 20_000);
}

#[test]
fn a_file_says_whose_it_is() {
    let place = Place::new();
    let name = place.stdout.file_name().unwrap().to_str().unwrap();
    let found = source(name).unwrap();
    assert_eq!((&found.instance, found.release), (&place.spec.id, place.spec.route.release));
    assert_eq!((found.host, found.stream), (place.spec.route.host.clone(), LogStream::Stdout));
    for other in
        ["", "a", "i-1.1.shop", "i-1.x.shop.stdout", "i-1.1.shop.stdout.x", "i-1.1.shop.log"]
    {
        assert_eq!(source(other), None, "{other:?}");
    }
}
