//! Turns Kubernetes quantities such as `500m` or `1Gi` into comparable numbers and back.
//! It must not know what is measured.
//! Thousandths in an integer keep sums exact, which a quota message shows digit by digit.

use serde_json::Value;

/// In billionths, which is what a metrics server counts in.
const SUFFIXES: [(&str, i128); 16] = [
    ("Ki", 1_000_000_000 << 10),
    ("Mi", 1_000_000_000 << 20),
    ("Gi", 1_000_000_000 << 30),
    ("Ti", 1_000_000_000 << 40),
    ("Pi", 1_000_000_000 << 50),
    ("Ei", 1_000_000_000 << 60),
    ("n", 1),
    ("u", 1000),
    ("m", BILLIONTHS),
    ("k", 1_000_000_000_000),
    ("M", 1_000_000_000_000_000),
    ("G", 1_000_000_000_000_000_000),
    ("T", 1_000_000_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000_000_000),
    ("", 1_000_000_000),
];

/// Billionths of one thousandth.
const BILLIONTHS: i128 = 1_000_000;

/// Reads a quantity in thousandths, rounded up as Kubernetes does; none if it is no quantity.
pub fn parse(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let (number, scale) = SUFFIXES
        .iter()
        .find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, *scale)))?;
    let (number, exponent) = match number.split_once(['e', 'E']) {
        // One suffix is all that a quantity may have.
        Some((number, exponent)) if number.len() + 1 + exponent.len() == text.len() => {
            (number, exponent.parse().ok()?)
        }
        Some(_) => return None,
        None => (number, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.chars().all(|letter| letter.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let all: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let power = 10_i128.checked_pow(places.unsigned_abs())?;
    let (all, of) = match places {
        0.. => (all, power.checked_mul(BILLIONTHS)?),
        _ => (all.checked_mul(power)?, BILLIONTHS),
    };
    let exact = all.checked_mul(scale)?;
    Some(exact / of + i128::from(exact % of != 0))
}

/// Writes thousandths as Kubernetes would: the largest binary suffix for bytes, `m` for parts of one.
pub fn format(thousandths: i128) -> String {
    if thousandths % 1000 != 0 {
        return format!("{thousandths}m");
    }
    let binary = SUFFIXES.iter().take(4).rev();
    for (suffix, scale) in binary {
        let scale = scale / BILLIONTHS;
        if thousandths != 0 && thousandths % scale == 0 {
            return format!("{}{suffix}", thousandths / scale);
        }
    }
    (thousandths / 1000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quantities_are_read_and_written() {
        for (text, thousandths, written) in [
            (json!("500m"), 500, "500m"),
            (json!(2), 2000, "2"),
            (json!("0.5"), 500, "500m"),
            (json!("1Gi"), 1_073_741_824_000, "1Gi"),
            (json!("1.5Gi"), 1_610_612_736_000, "1536Mi"),
            (json!("10"), 10_000, "10"),
            (json!("1500000n"), 2, "2m"),
            (json!("1000001u"), 1001, "1001m"),
            (json!("12e3"), 12_000_000, "12000"),
            (json!("5E-1"), 500, "500m"),
            (json!("0.25e1"), 2500, "2500m"),
            (
                json!("1E"),
                1_000_000_000_000_000_000_000,
                "976562500000000Ki",
            ),
        ] {
            assert_eq!(parse(&text), Some(thousandths), "{text}");
            assert_eq!(format(thousandths), written);
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", "abc", "1x", "m", "1 Gi", "-", "1e3Mi", "1e3e3", "e3", "1e99",
        ] {
            assert_eq!(parse(&json!(text)), None, "{text}");
        }
    }
}
