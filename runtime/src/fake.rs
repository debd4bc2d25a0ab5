/// An engine in memory.
#[derive(Debug)]
pub struct Fake;
