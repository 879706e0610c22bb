//! `NumericDate`: seconds since 1970, whole or not (RFC 7519 s2).

use std::time::Duration;

use crate::clock::Timestamp;

/// 9999-12-31T23:59:59Z. A date beyond it is a mistake or an attack; no token is meant to live that long.
const LATEST: i64 = 253_402_300_799_000;

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
        Some(seconds) => Some(seconds.saturating_mul(1000)).filter(|millis| *millis <= LATEST),
        None => parse_any(number),
    }
}

/// At most twelve digits and nothing else.
fn plain_seconds(number: &str) -> Option<i64> {
    let add = |seconds: i64, byte: &u8| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| seconds.wrapping_mul(10).wrapping_add(i64::from(digit)))
    };
    match number.as_bytes().split_first_chunk() {
        Some((first, rest)) if rest.len() <= 4 => rest.iter().try_fold(eight_digits(*first)?, add),
        Some(_) => None,
        None if number.is_empty() => None,
        None => number.as_bytes().iter().try_fold(0, add),
    }
}

/// The number that eight digits are, all at once: neighbours are joined to pairs, pairs to fours, and fours to the whole.
fn eight_digits(text: [u8; 8]) -> Option<i64> {
    let each = |byte: u8| u64::from_le_bytes([byte; 8]);
    let digits = u64::from_le_bytes(text) ^ each(b'0');
    // Adding 0x76 to a byte sets its high bit from ten on, if it was not set.
    if (digits.wrapping_add(each(0x76)) | digits) & each(0x80) != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00FF_00FF_00FF_00FF;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_FFFF_0000_FFFF;
    let whole = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xFFFF_FFFF;
    i64::try_from(whole).ok()
}

#[cold]
#[inline(never)]
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
    i64::try_from(millis).ok().filter(|millis| *millis <= LATEST)
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

    /// A whole number of some digits is read by other code than any other number.
    #[test]
    fn a_number_of_any_length_reads_the_same_either_way() {
        for length in 1..=14_usize {
            for digits in ["1234567890", "9999999999", "0000000001", "2534023007"] {
                let text = digits.repeat(2).get(..length).unwrap().to_owned();
                assert_eq!(parse(&text), super::parse_any(&text), "{text}");
                assert_eq!(parse(&text).is_some(), text.parse::<u64>().unwrap() <= 253_402_300_799, "{text}");
                for place in 0..length {
                    for other in ["/", ":", "-", "+", ".", "e", " ", "\u{e9}"] {
                        let mut text = text.clone();
                        text.replace_range(place..=place, other);
                        assert_eq!(super::plain_seconds(&text), None, "{text}");
                    }
                }
            }
        }
        assert_eq!(super::plain_seconds(""), None);
    }
}
