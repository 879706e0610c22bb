//! `NumericDate`: seconds since 1970, whole or not (RFC 7519 s2).

use std::time::Duration;

use crate::clock::Timestamp;

/// 9999-12-31T23:59:59Z. A date beyond it is a mistake or an attack; no token is meant to live that long.
const LATEST: i128 = 253_402_300_799_000;

/// RFC 7519 s4.1.4: valid while now < exp + leeway. Dates are in milliseconds since 1970.
pub(crate) fn has_expired(expires_at: i64, leeway: Duration, now: Timestamp) -> bool {
    now.unix_millis() >= expires_at.saturating_add(millis(leeway))
}

/// A span, to be added to dates.
pub(crate) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Reads a JSON number as milliseconds since 1970, rounded down, exactly: no float is involved, so that no date can become
/// infinite or lose its last second. `None` for dates before 1970 and after 9999.
pub(crate) fn parse(number: &str) -> Option<i64> {
    // Nearly every date is a plain number of seconds.
    match plain_seconds(number) {
        Some(seconds) => seconds.checked_mul(1000).filter(|millis| i128::from(*millis) <= LATEST),
        None => parse_any(number),
    }
}

/// At most twelve digits and nothing else.
fn plain_seconds(number: &str) -> Option<i64> {
    let digit = |byte: u8| Some(byte.wrapping_sub(b'0')).filter(|digit| *digit < 10).map(i64::from);
    let add = |seconds: i64, byte| digit(byte).map(|digit| seconds.wrapping_mul(10).wrapping_add(digit));
    let is_short = (1..=12).contains(&number.len());
    if is_short { number.bytes().try_fold(0, add) } else { None }
}

fn parse_any(number: &str) -> Option<i64> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
        None => (number, Some(0)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let (sign, whole) = whole.strip_prefix('-').map_or((1, whole), |whole| (-1, whole));
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    if sign < 0 || digits.len() > 24 {
        return None;
    }
    let digits = digits.parse::<i128>().ok()?;
    // Milliseconds: the number times 1000, its decimal point moved by the exponent.
    let shift = exponent?.checked_add(3)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?);
    let millis = match (power, shift < 0) {
        (Some(power), false) => digits.checked_mul(power)?,
        (Some(power), true) => digits.checked_div(power)?,
        (None, false) => return None,
        (None, true) => 0,
    };
    if millis <= LATEST { i64::try_from(millis).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_date_is_read_exactly() {
        for (text, millis) in [
            ("0", 0),
            ("-0", 0),
            ("0e999999999999999999999", 0),
            ("1800000300", 1_800_000_300_000),
            ("1800000300.9", 1_800_000_300_900),
            ("1800000300.99999", 1_800_000_300_999),
            ("1.8000003e9", 1_800_000_300_000),
            ("18000003000000E-4", 1_800_000_300_000),
            ("1e-400", 0),
            ("1800000300.000000000000000000000000000000", 1_800_000_300_000),
            ("253402300799", 253_402_300_799_000),
        ] {
            assert_eq!((parse(text), super::parse_any(text)), (Some(millis), Some(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for text in [
            "-1",
            "-0.001",
            "1e19",
            "1e300",
            "1e400",
            "1e99999999999999999999",
            "18446744073709551615",
            "18446744073709551616",
            "9007199254740993",
            "-9223372036854775808",
            "253402300800",
            "2.001e+206",
            "123456789012345678901234567890",
        ] {
            assert_eq!((parse(text), super::parse_any(text)), (None, None), "{text}");
        }
    }
}
