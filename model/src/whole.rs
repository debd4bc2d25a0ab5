//! Whole numbers in requests, as JSON Schema has them: `3.0` is one as well as `3`.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The largest number up to which every whole one has a floating point of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

struct Whole(u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Whole, E> {
        Ok(Whole(number))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole, not negative, and small enough"
    )]
    fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
        if number.fract() == 0.0 && (0.0..=EXACT).contains(&number) {
            return Ok(Whole(number as u64));
        }
        Err(E::invalid_value(Unexpected::Float(number), &self))
    }
}

pub(crate) fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let Whole(number) = Whole::deserialize(from)?;
    T::try_from(number).map_err(|_| D::Error::custom("the number is too large"))
}

/// The same for a number that may be missing.
pub(crate) mod optional {
    use super::*;

    pub(crate) fn deserialize<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<u64>,
    {
        let number = Option::<Whole>::deserialize(from)?;
        let number = number.map(|Whole(number)| T::try_from(number));
        number.transpose().map_err(|_| D::Error::custom("the number is too large"))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Promote, Scale};

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for good in ["3", "3.0", "3e0"] {
            let scale: Scale = serde_json::from_str(&format!(r#"{{"max":{good}}}"#)).unwrap();
            assert_eq!(scale.max, Some(3), "{good}");
        }
        for bad in ["3.5", "-1", "-1.0", "4294967296", "1e300", "\"3\"", "true"] {
            let scale = serde_json::from_str::<Scale>(&format!(r#"{{"max":{bad}}}"#));
            assert!(scale.is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<Scale>(r#"{"max":null}"#).unwrap().max, None);
        assert_eq!(serde_json::from_str::<Scale>("{}").unwrap().max, None);
        let promote: Promote = serde_json::from_str(r#"{"release":7.0}"#).unwrap();
        assert_eq!(promote, Promote::Release(7));
    }
}
