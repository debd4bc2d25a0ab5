use std::time::SystemTime;

use rac_model::{HostLabel, LogStream};

use crate::InstanceId;

/// Something that an instance has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The instance, which may be gone.
    pub instance: InstanceId,
    /// The URL it serves.
    pub host: HostLabel,
    /// The release it runs.
    pub release: u64,
    /// Where it wrote.
    pub stream: LogStream,
    /// Whole lines, unless one is very long or the last of an instance that is gone.
    pub text: Vec<u8>,
    /// How many bytes before it were left out, because nobody took them in time.
    pub left_out: u64,
    /// When the last of what it has written so far was written.
    pub written_at: SystemTime,
}
