use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use containerd_client::services::v1::container::Runtime;
use containerd_client::services::v1::snapshots::PrepareSnapshotRequest;
use containerd_client::services::v1::{Container, CreateContainerRequest, CreateTaskRequest};
use containerd_client::tonic::Status;
use containerd_client::types::Mount;
use oci_spec::runtime::Spec;
use prost::Message;
use prost_types::Any;
use rac_model::{Chain, InstanceState};
use rac_runtime::{BackendError, Instance, InstanceSpec, StartError};

use crate::client::{SNAPSHOTTER, exists, is_missing, request};
use crate::connect::Engine;
use crate::files::{make_passage, write_public};
use crate::image::Image;
use crate::network::{Network, Taken};
use crate::output::Places;
use crate::prepare::mapped;
use crate::read;
use crate::rootfs::sharing_content;
use crate::spec::{Inputs, spec as write_spec};
use crate::upkeep::Present;

const RUNTIME: &str = "io.containerd.runc.v2";
/// What containerd knows a specification by.
const SPEC_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

/// What containerd's shim for runc is told (`containerd.runc.v1.Options`), as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct Options {
    /// Who owns the pipes of the output: whoever runs may open `/dev/stdout` by name.
    #[prost(uint32, tag = "4")]
    io_uid: u32,
    #[prost(uint32, tag = "5")]
    io_gid: u32,
    /// Where runc keeps its own notes: by default, a place that all stacks of a machine share.
    #[prost(string, tag = "7")]
    root: String,
}

impl Engine {
    pub(crate) async fn create(&self, spec: &InstanceSpec) -> Result<(), StartError> {
        let _turn = self.instances.turn(spec.id.as_str()).await;
        if self.present.lock().contains_key(&spec.id) {
            return Ok(());
        }
        let image = self.image(&spec.route.image()).await?;
        let taken = self.pool.take().await?;
        match self.try_create(spec, &image, taken).await {
            Ok(()) => Ok(()),
            Err(error) => {
                if let Err(error) = self.remove(&spec.id).await {
                    tracing::warn!(error = %Chain(&error), instance.id = %spec.id, "Could not remove what is left of a failed start");
                }
                Err(error)
            }
        }
    }

    async fn try_create(
        &self,
        spec: &InstanceSpec,
        image: &Arc<Image>,
        taken: Taken,
    ) -> Result<(), StartError> {
        let Some(network) = taken.network().cloned() else { return Ok(()) };
        let (volumes, output) = self.prepare_directories(spec, image, &network).await?;
        let inputs = self.inputs(spec, image, &network, volumes);
        let container = container(spec, image, &network, &inputs, &self.config.state())?;
        let (mounts, ()) =
            tokio::try_join!(self.root_snapshot(spec), self.store_container(container))?;
        taken.keep();
        let task = CreateTaskRequest {
            container_id: spec.id.to_string(),
            rootfs: sharing_content(mounts),
            stdout: output.stdout,
            stderr: output.stderr,
            ..CreateTaskRequest::default()
        };
        self.client
            .tasks()
            .create(request(task))
            .await
            .map_err(BackendError::during("create the task"))?;
        let present = Present::created(created(spec, &network), spec.route.spec.cpu_millis);
        self.present.lock().insert(spec.id.clone(), present);
        Ok(())
    }

    fn inputs<'a>(
        &self,
        spec: &'a InstanceSpec,
        image: &'a Image,
        network: &Network,
        volumes: Vec<(PathBuf, String)>,
    ) -> Inputs<'a> {
        let state = self.config.state();
        Inputs {
            route: &spec.route,
            env: &spec.env,
            image,
            netns: self.pool.file(&network.name),
            sys: self.pool.sys(&network.name),
            etc: state.join("instances").join(spec.id.as_str()),
            resolv: state.join("resolv.conf"),
            cgroup: self.cgroups.path(&spec.id),
            limits_swap: self.cgroups.limits_swap(),
            volumes,
        }
    }

    /// Makes what the instance finds outside of its image, and says where its volumes and its
    /// output are.
    async fn prepare_directories(
        &self,
        spec: &InstanceSpec,
        image: &Arc<Image>,
        network: &Network,
    ) -> Result<(Vec<(PathBuf, String)>, Places), StartError> {
        let etc = self.config.state().join("instances").join(spec.id.as_str());
        write_etc(&etc, spec.route.host.as_str(), network)
            .map_err(BackendError::during("write the instance's files"))?;
        let output = self.outputs.begin(spec);
        let output = output.map_err(BackendError::during("make the files of the output"))?;
        let volumes = self.volumes(&spec.route.image(), image, spec.route.life).await?;
        Ok((volumes, output))
    }

    /// The writable layer of an instance. It is nobody's to collect until it is deleted: no lease
    /// is needed, which would be two more writes to the disk on the way of a request.
    async fn root_snapshot(&self, spec: &InstanceSpec) -> Result<Vec<Mount>, StartError> {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let prepare = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: spec.id.to_string(),
            parent: spec.route.image().to_string(),
            labels: [label("containerd.io/gc.root", "rac")].into(),
        };
        let image = spec.route.image();
        match self.client.snapshots().prepare(request(prepare.clone())).await {
            Ok(prepared) => Ok(prepared.into_inner().mounts),
            Err(status) if is_missing(&status) => {
                self.images.forget(&image);
                Err(StartError::NotPrepared(image))
            }
            // Of an earlier instance of this name, which was never finished.
            Err(status) if exists(&status) => {
                self.remove_snapshot(spec.id.as_str()).await?;
                let again = self.client.snapshots().prepare(request(prepare)).await;
                Ok(again.map_err(during_snapshot())?.into_inner().mounts)
            }
            Err(status) => Err(during_snapshot()(status).into()),
        }
    }

    async fn store_container(&self, container: Container) -> Result<(), StartError> {
        let create = CreateContainerRequest { container: Some(container) };
        let stored = self.client.containers().create(request(create)).await;
        stored.map_err(BackendError::during("create the container"))?;
        Ok(())
    }
}

fn during_snapshot() -> impl FnOnce(Status) -> BackendError {
    BackendError::during("prepare the instance's snapshot")
}

fn container(
    spec: &InstanceSpec,
    image: &Image,
    network: &Network,
    inputs: &Inputs,
    state: &Path,
) -> Result<Container, StartError> {
    let document: Spec =
        write_spec(inputs).map_err(BackendError::during("write the container's specification"))?;
    let document = serde_json::to_vec(&document)
        .map_err(BackendError::during("write the container's specification"))?;
    let signal = image.config.signal().map_err(|error| StartError::Invalid(error.to_string()))?;
    let options = Options {
        io_uid: mapped(image.user.uid, image.range),
        io_gid: mapped(image.user.gid, image.range),
        root: state.join("runc").display().to_string(),
    };
    let options =
        Any { type_url: "containerd.runc.v1.Options".to_owned(), value: options.encode_to_vec() };
    Ok(Container {
        id: spec.id.to_string(),
        labels: read::labels(spec, network, signal),
        runtime: Some(Runtime { name: RUNTIME.to_owned(), options: Some(options) }),
        spec: Some(Any { type_url: SPEC_TYPE.to_owned(), value: document }),
        snapshotter: SNAPSHOTTER.to_owned(),
        snapshot_key: spec.id.to_string(),
        ..Container::default()
    })
}

fn created(spec: &InstanceSpec, network: &Network) -> Instance {
    Instance {
        id: spec.id.clone(),
        host: spec.route.host.clone(),
        image: spec.route.image(),
        release: spec.route.release,
        state: InstanceState::Created,
        address: Some((network.address, spec.route.spec.port).into()),
        exit: None,
    }
}

/// Writes what the instance finds as `/etc/hosts` and `/etc/hostname`.
fn write_etc(etc: &Path, host: &str, network: &Network) -> io::Result<()> {
    make_passage(etc)?;
    let address = network.address;
    let hosts = format!(
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{address} {host}\n"
    );
    write_public(&etc.join("hosts"), &hosts)?;
    write_public(&etc.join("hostname"), &format!("{host}\n"))
}
