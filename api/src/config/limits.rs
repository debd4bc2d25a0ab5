//! How much anybody may use of RAC.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

/// The limits, where something is said; each of them can be `off`.
#[derive(Debug, Clone, Args)]
pub struct LimitSettings {
    /// Log-ins with a password to one account from one address, such as 10/min; six times as many
    /// to all accounts from one address
    #[arg(long = "limit-login", env = "RAC_LIMIT_LOGIN", default_value = "10/min", global = true)]
    pub login: Limit<Rate>,

    /// Accounts made from one address
    #[arg(
        long = "limit-sign-up",
        env = "RAC_LIMIT_SIGN_UP",
        default_value = "10/h",
        global = true
    )]
    pub sign_up: Limit<Rate>,

    /// Tokens for the registry asked for from one address [default: 1200/min; off where the domain
    /// is localhost]
    #[arg(long = "limit-token", env = "RAC_LIMIT_TOKEN", global = true)]
    pub token: Option<Limit<Rate>>,

    /// Requests to the API from one address [default: 1200/min; off where the domain is localhost]
    #[arg(long = "limit-api", env = "RAC_LIMIT_API", global = true)]
    pub api: Option<Limit<Rate>>,

    /// What is pushed without an account from one address in a day [default: 10GiB; off where the
    /// domain is localhost]
    #[arg(long = "limit-anonymous-bytes", env = "RAC_LIMIT_ANONYMOUS_BYTES", global = true)]
    pub anonymous_bytes: Option<Limit<Bytes>>,

    /// Apps made by pushing without an account from one address in a day [default: 50; off where
    /// the domain is localhost]
    #[arg(long = "limit-anonymous-apps", env = "RAC_LIMIT_ANONYMOUS_APPS", global = true)]
    pub anonymous_apps: Option<Limit<u64>>,

    /// Apps that one account owns
    #[arg(long = "limit-apps", env = "RAC_LIMIT_APPS", default_value = "100", global = true)]
    pub apps: Limit<u64>,

    /// Previews that one app has at a time
    #[arg(
        long = "limit-previews",
        env = "RAC_LIMIT_PREVIEWS",
        default_value = "50",
        global = true
    )]
    pub previews: Limit<u64>,

    /// The layers of an image, compressed
    #[arg(long, env = "RAC_MAX_IMAGE_SIZE", default_value = "2GiB", global = true)]
    pub max_image_size: Limit<Bytes>,

    /// How many layers an image has
    #[arg(long, env = "RAC_MAX_IMAGE_LAYERS", default_value = "64", global = true)]
    pub max_image_layers: Limit<u64>,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// As much as anybody likes.
    Off,
    /// This much.
    To(T),
}

impl<T> Limit<T> {
    /// The limit, where there is one.
    pub fn get(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::To(limit) => Some(limit),
        }
    }
}

impl<T: FromStr<Err: fmt::Display>> FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::To).map_err(|error| format!("{error} (or write off)"))
    }
}

/// So many in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many at once, and in each `per`.
    pub count: NonZeroU32,
    /// How long it takes until all of them are there again.
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem = "write a number of at least 1 in a second, minute or hour, such as 10/min";
        let (count, per) = text.split_once('/').ok_or(problem)?;
        let seconds = match per {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            _ => return Err(problem),
        };
        let count = count.parse().map_err(|_| problem)?;
        Ok(Self { count, per: Duration::from_secs(seconds) })
    }
}

/// An amount of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl FromStr for Bytes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem = "write a number with a unit of KiB, MiB, GiB or TiB, such as 2GiB";
        let unit = |(unit, shift): &(&str, u32)| Some((text.strip_suffix(unit)?, *shift));
        let (number, shift) = UNITS.iter().find_map(unit).ok_or(problem)?;
        let number: u64 = number.trim_end().parse().map_err(|_| problem)?;
        number.checked_mul(1 << shift).map(Self).ok_or(problem)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, shift): &&(&str, u32)| self.0 > 0 && self.0.is_multiple_of(1 << shift);
        match UNITS.iter().find(exact) {
            Some((unit, shift)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        let rate = |count, seconds| {
            let count = NonZeroU32::new(count).unwrap();
            Ok(Limit::To(Rate { count, per: Duration::from_secs(seconds) }))
        };
        assert_eq!("10/min".parse(), rate(10, 60));
        assert_eq!("1/s".parse(), rate(1, 1));
        assert_eq!("off".parse::<Limit<Rate>>(), Ok(Limit::Off));
        assert_eq!("2GiB".parse(), Ok(Limit::To(Bytes(2 << 30))));
        assert_eq!("50".parse(), Ok(Limit::To(50_u64)));
        for bad in ["0/min", "10", "10/day", "-1/s", "/s", ""] {
            assert!(bad.parse::<Limit<Rate>>().is_err(), "{bad}");
        }
        for bad in ["10", "10GB", "GiB", "1.5GiB", "99999999999TiB", ""] {
            assert!(bad.parse::<Limit<Bytes>>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_amount_is_shown_as_it_was_written() {
        for (bytes, text) in [(2 << 30, "2 GiB"), (1536 << 10, "1536 KiB"), (7, "7 bytes")] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
