use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rac_model::{ImageRef, InstanceState};
use rac_runtime::{Instance, InstanceId, Runtime as _, contract};
use rac_runtime_containerd::{Config, Containerd, config_file, sweep};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::image::Image;

/// How long anything may take here.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A stack of its own: a registry, a containerd, and the engine on them.
pub(crate) struct World {
    pub(crate) engine: Option<Containerd>,
    pub(crate) config: Config,
    pub(crate) registry: String,
    home: PathBuf,
    containerd: Child,
    distribution: Child,
}

impl World {
    pub(crate) async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let stack = format!("rt{}-{number}", std::process::id() % 1_000_000);
        let home = std::env::temp_dir().join(format!("rac-it-{stack}"));
        fs::create_dir(&home).unwrap();
        // As /root is: nobody else gets through.
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let registry = format!("http://127.0.0.1:{port}");
        let distribution = start_registry(&home, port);
        let network = format!("10.{}.0.0/20", 100 + number).parse().unwrap();
        let config =
            Config { stack, home: home.join("rac"), registry_url: registry.clone(), network };
        let containerd = start_containerd(&config, &home);
        let engine = Some(Containerd::connect(config.clone()).await.unwrap());
        until("the registry answers", || TcpStream::connect(("127.0.0.1", port))).await;
        Self { engine, config, registry, home, containerd, distribution }
    }

    pub(crate) fn engine(&self) -> &Containerd {
        self.engine.as_ref().unwrap()
    }

    /// Lets go of the engine and takes its instances over, as a new edge does.
    pub(crate) async fn reconnect(&mut self) {
        self.engine = None;
        self.engine = Some(Containerd::connect(self.config.clone()).await.unwrap());
    }

    pub(crate) fn kill_containerd(&mut self) {
        self.containerd.kill().unwrap();
        self.containerd.wait().unwrap();
    }

    pub(crate) fn restart_containerd(&mut self) {
        self.containerd = start_containerd(&self.config, &self.home);
    }

    /// Pushes and prepares `image` as an app.
    pub(crate) async fn prepare(&self, app: &str, image: &Image) -> ImageRef {
        let image = image.push(&self.registry, app).await;
        self.engine().prepare(&image, "").await.unwrap();
        image
    }

    pub(crate) async fn start(&self, id: &str, image: &ImageRef) -> Instance {
        let spec = contract::spec(id, image);
        self.engine().create(&spec).await.unwrap();
        self.engine().start(&spec.id).await.unwrap()
    }

    /// A running instance of the test app that answers.
    pub(crate) async fn serving(&self, app: &str, image: &Image) -> Instance {
        let image = self.prepare(app, image).await;
        let instance = self.start(&format!("{app}-1"), &image).await;
        contract::get(instance.address.unwrap()).await;
        instance
    }

    /// Waits until an instance has ended.
    pub(crate) async fn ended(&self, id: &InstanceId) -> Instance {
        let ended = async {
            loop {
                let instance = self.engine().read(id).await.unwrap().unwrap();
                if instance.state == InstanceState::Stopped {
                    return instance;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, ended).await.expect("the instance ends")
    }

    /// What one of containerd's lists has, without its headline.
    pub(crate) fn listed(&self, what: &str) -> Vec<String> {
        let socket = format!("/run/{}/containerd/containerd.sock", self.config.stack);
        let mut command = Command::new("ctr");
        let listed = command.args(["-a", &socket, "-n", "rac", what, "ls"]).output().unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let lines = String::from_utf8(listed.stdout).unwrap();
        lines.lines().skip(1).map(str::to_owned).collect()
    }

    /// Everything of the stack that the machine has: what must not grow.
    pub(crate) fn traces(&self) -> Vec<(&'static str, usize)> {
        let stack = &self.config.stack;
        let count = |dir: String| fs::read_dir(dir).map_or(0, Iterator::count);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let cgroups = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|hierarchy| {
            let group = hierarchy.path().join(stack);
            let groups = fs::read_dir(group).into_iter().flatten().flatten();
            groups.filter(|entry| entry.path().is_dir()).count()
        });
        let shims =
            Command::new("pgrep").args(["-fc", &format!("^[^ ]*shim.*/run/{stack}/")]).output();
        let shims = String::from_utf8(shims.unwrap().stdout).unwrap().trim().parse().unwrap();
        vec![
            ("mounts", mounts.lines().filter(|line| line.contains(stack.as_str())).count()),
            ("network namespaces", count(format!("/run/{stack}/netns"))),
            ("ports of the bridge", count(format!("/sys/class/net/{stack}/brif"))),
            ("addresses", count(format!("/run/{stack}/cni/{stack}"))),
            ("instances' directories", count(format!("/run/{stack}/instances"))),
            ("control groups", cgroups.sum()),
            ("containers", self.listed("containers").len()),
            ("snapshots", self.listed("snapshots").len()),
            ("leases", self.listed("leases").len()),
            ("shims", shims),
        ]
    }

    /// Waits until there is as much of everything as there was `before`.
    pub(crate) async fn is_as(&self, before: &[(&'static str, usize)]) {
        let settled = async {
            while self.traces() != before {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let left = timeout(LIMIT, settled).await.map_err(|_| self.traces());
        assert_eq!(left, Ok(()), "it was {before:?}");
    }

    /// Ends the stack, and makes sure that nothing of it is left.
    pub(crate) async fn end(mut self) {
        self.engine = None;
        sweep(&self.config).await.unwrap();
        let stack = &self.config.stack;
        let left: Vec<_> =
            self.traces().into_iter().filter(|(what, _)| *what != "snapshots").collect();
        assert!(left.iter().all(|(_, count)| *count == 0), "{left:?}");
        assert!(!Path::new("/sys/class/net").join(stack).exists(), "the bridge is gone");
        let tables = Command::new("nft").args(["list", "tables"]).output().unwrap().stdout;
        let tables = String::from_utf8(tables).unwrap();
        assert!(!tables.contains(&stack.replace('-', "_")), "{tables}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.engine = None;
        let config = self.config.clone();
        let swept = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(sweep(&config))
        });
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.join("containerd.log")).unwrap_or_default();
            eprintln!("{log}");
        }
        let _ = swept.join();
        for process in [&mut self.containerd, &mut self.distribution] {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.home);
        let _ = fs::remove_dir_all(Path::new("/run").join(&self.config.stack));
    }
}

fn start_containerd(config: &Config, home: &Path) -> Child {
    let file = home.join("containerd.toml");
    fs::write(&file, config_file(config)).unwrap();
    let log = File::options().create(true).append(true).open(home.join("containerd.log")).unwrap();
    let mut command = Command::new("containerd");
    command.arg("--config").arg(file).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

fn start_registry(home: &Path, port: u16) -> Child {
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
         http: {{addr: 127.0.0.1:{port}}}\n",
        home.join("registry").display()
    );
    let file = home.join("registry.yml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until `attempt` works.
pub(crate) async fn until<T, E, F: Future<Output = Result<T, E>>>(
    what: &str,
    attempt: impl Fn() -> F,
) -> T {
    let done = async {
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    timeout(LIMIT, done).await.unwrap_or_else(|_| panic!("{what} in time"))
}

/// Waits until `condition` holds.
pub(crate) async fn until_true(what: &str, condition: impl Fn() -> bool) {
    until(what, async || if condition() { Ok(()) } else { Err(()) }).await;
}

/// Asks the test app for something, and returns the body of its answer.
pub(crate) async fn ask(instance: &Instance, path: &str) -> String {
    let asked = async {
        let mut stream = TcpStream::connect::<SocketAddr>(instance.address.unwrap()).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: it\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = timeout(LIMIT, asked).await.expect("the app answers in time");
    let answer = answer.unwrap_or_else(|error| format!("\r\n\r\n{error}"));
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
