use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long to wait before the next try: longer each time, and never as long as everybody else.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Between half and the whole of 100 ms, 200 ms, … 5 s.
    pub(super) fn next(&mut self) -> Duration {
        let longest = FIRST.saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        longest.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_differ() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..100).map(|_| backoff.next()).collect();
        assert!((FIRST / 2..=FIRST).contains(&waits[0]));
        assert!(waits[10..].iter().all(|wait| (LONGEST / 2..=LONGEST).contains(wait)));
        assert!(waits[10..].iter().any(|wait| *wait != waits[10]));
    }
}
