//! Turns `500m` and `1Gi` into amounts that can be compared.
//! It knows no resource: CPU and memory are written alike.
//! Kubernetes refuses a bad quantity with a sentence about regular expressions, so it is read before it is sent.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::{borrow::Cow, fmt, str::FromStr};

/// An amount as Kubernetes writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    text: String,
    milli: u128,
}

impl Quantity {
    /// The amount in thousandths, so that millicores are whole numbers.
    pub fn milli(&self) -> u128 {
        self.milli
    }
}

const SUFFIXES: &[(&str, u128)] = &[
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("Ki", 1_000 << 10),
    ("Mi", 1_000 << 20),
    ("Gi", 1_000 << 30),
    ("Ti", 1_000 << 40),
    ("", 1_000),
];

impl FromStr for Quantity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let &(_, unit) = SUFFIXES
            .iter()
            .find(|(name, _)| *name == suffix)
            .ok_or(())?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.len() > 9 || (number.contains('.') && fraction.is_empty()) {
            return Err(());
        }
        let whole: u128 = whole.parse::<u64>().map_err(|_| ())?.into();
        let mut milli = whole.checked_mul(unit).ok_or(())?;
        if !fraction.is_empty() {
            let digits: u128 = fraction.parse::<u64>().map_err(|_| ())?.into();
            let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| ())?);
            milli = digits
                .checked_mul(unit)
                .map(|part| part.div_ceil(scale))
                .and_then(|part| milli.checked_add(part))
                .ok_or(())?;
        }
        Ok(Self {
            text: text.into(),
            milli,
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl serde::Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An amount as Kubernetes writes it, such as `500m`, `2` or `1Gi`.",
            "type": ["string", "number"],
            "pattern": r"^[0-9]+(\.[0-9]{1,9})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
            "minimum": 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn amounts_are_compared_whatever_their_suffix() {
        let milli = |text: &str| text.parse::<Quantity>().map(|quantity| quantity.milli());
        assert_eq!(milli("500m"), Ok(500));
        assert_eq!(milli("0.5"), Ok(500));
        assert_eq!(milli("2"), Ok(2000));
        assert_eq!(milli("1Gi"), milli("1024Mi"));
        assert_eq!(milli("1.5Gi"), milli("1536Mi"));
        assert!(milli("1G") < milli("1Gi"));
        for wrong in [
            "",
            "1 Gi",
            "Gi",
            "-1",
            "1.",
            ".5",
            "1gb",
            "1MiB",
            "99999999999999999999",
        ] {
            assert_eq!(milli(wrong), Err(()), "{wrong}");
        }
    }
}
