//! Turns Kubernetes quantities such as `500m` or `1Gi` into comparable numbers and back.
//! It must not know what is measured.
//! Thousandths in an integer keep sums exact, which a quota message shows digit by digit.

use serde_json::Value;

const SUFFIXES: [(&str, i128); 14] = [
    ("Ki", 1024 * 1000),
    ("Mi", 1024 * 1024 * 1000),
    ("Gi", 1024 * 1024 * 1024 * 1000),
    ("Ti", 1024 * 1024 * 1024 * 1024 * 1000),
    ("Pi", (1 << 50) * 1000),
    ("Ei", (1 << 60) * 1000),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("", 1000),
];

/// Reads a quantity in thousandths; none if it is no quantity.
pub fn parse(value: &Value) -> Option<i128> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let (number, scale) = SUFFIXES
        .iter()
        .find_map(|(suffix, scale)| Some((text.strip_suffix(suffix)?, scale)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.chars().all(|letter| letter.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let all: i128 = format!("{whole}{fraction}").parse().ok()?;
    let places = u32::try_from(fraction.len()).ok()?;
    Some(all.checked_mul(*scale)? / 10_i128.checked_pow(places)?)
}

/// Writes thousandths as Kubernetes would: the largest binary suffix for bytes, `m` for parts of one.
pub fn format(thousandths: i128) -> String {
    if thousandths % 1000 != 0 {
        return format!("{thousandths}m");
    }
    let binary = SUFFIXES.iter().take(4).rev();
    for (suffix, scale) in binary {
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
        ] {
            assert_eq!(parse(&text), Some(thousandths), "{text}");
            assert_eq!(format(thousandths), written);
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "abc", "1x", "m", "1 Gi", "-"] {
            assert_eq!(parse(&json!(text)), None, "{text}");
        }
    }
}
