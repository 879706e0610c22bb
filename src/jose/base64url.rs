//! base64url as JOSE wants it: no padding, no white space, one text for one value (RFC 7515 s2, RFC 4648 s3.5).

use std::mem::MaybeUninit;

use base64_simd::{AsOut as _, URL_SAFE_NO_PAD};

/// Room for octets that are read and let go, headers and signatures: no memory is asked for unless they are unusually long, and
/// none is written to but by the decoder.
pub(crate) struct Room {
    near: [MaybeUninit<u8>; LONGEST_NEAR],
    far: Vec<u8>,
}

/// In characters, of which each stands for less than an octet. The signature of a 4096-bit RSA key has 683.
const LONGEST_NEAR: usize = 700;

impl Room {
    pub(crate) const fn new() -> Self {
        Self { near: [MaybeUninit::uninit(); LONGEST_NEAR], far: Vec::new() }
    }
}

/// The octets that the text stands for, or `None` if it is not canonical.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// The same, for octets that are not kept.
pub(crate) fn decode_into<'r>(text: &[u8], room: &'r mut Room) -> Option<&'r [u8]> {
    if text.len() <= LONGEST_NEAR {
        return URL_SAFE_NO_PAD.decode(text, room.near.as_mut_slice().as_out()).ok().map(|octets| &*octets);
    }
    room.far = decode(text)?;
    Some(&room.far)
}

/// The one text that stands for these octets.
pub(crate) fn encode(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(octets)
}

/// Plain base64 with padding, as PEM and HTTP Basic have it (RFC 7468 s3, RFC 7617 s2).
#[cfg(feature = "driver")]
pub(crate) fn decode_with_padding(text: &[u8]) -> Option<Vec<u8>> {
    base64_simd::STANDARD.decode_to_vec(text).ok()
}

/// The same the other way.
#[cfg(feature = "driver")]
pub(crate) fn encode_with_padding(octets: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By either way, which must agree.
    fn decode(text: &[u8]) -> Option<Vec<u8>> {
        let octets = super::decode(text);
        assert_eq!(octets.as_deref(), decode_into(text, &mut Room::new()));
        octets
    }

    #[test]
    fn only_the_canonical_text_is_read() {
        for (octets, text) in [(&b""[..], ""), (b"\xff", "_w"), (b"\xfb\xff", "-_8"), (b"abc", "YWJj")] {
            assert_eq!(encode(octets), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(octets));
        }
        for bad in ["A", "_w=", "_w==", "_x", "-_9", "+/8", "YW Jj", "YWJj\n", "YW?Jj", "YWJj\u{200b}", "YWJjA"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
    }

    /// The decoder looks at many characters at once; wherever a wrong one stands, it is seen.
    #[test]
    fn a_wrong_character_is_seen_at_every_place_of_every_length() {
        for length in 1..=100_u8 {
            let octets: Vec<u8> = (0..length).map(|octet| octet.wrapping_mul(37)).collect();
            let text = encode(&octets).into_bytes();
            assert_eq!(decode(&text).as_deref(), Some(&octets[..]));
            for place in 0..text.len() {
                for wrong in [b'=', b'+', b'/', b' ', b'\n', b'.', 0, 0x80, 0xff] {
                    let mut text = text.clone();
                    text[place] = wrong;
                    assert_eq!(decode(&text), None, "{wrong:#x} at {place} of {length} octets");
                }
            }
        }
    }

    #[test]
    fn what_is_long_is_read_as_what_is_short() {
        for length in LONGEST_NEAR - 8..LONGEST_NEAR + 8 {
            let text = "A".repeat(length);
            let octets = decode(text.as_bytes());
            assert_eq!(octets.map(|octets| octets.len()), (length % 4 != 1).then_some(length * 3 / 4), "{length}");
            assert_eq!(decode(format!("{text}=").as_bytes()), None);
        }
    }

    /// One value, one text: of all characters that could stand last, only those without spare bits are read.
    #[test]
    fn spare_bits_are_zero() {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for prefix in ["", "abcd", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123"] {
            for (first, spare) in [("A", 16), ("AA", 4)] {
                let read = ALPHABET
                    .iter()
                    .filter(|last| decode(&[prefix.as_bytes(), first.as_bytes(), &[**last]].concat()).is_some());
                assert_eq!(read.count(), 64 / spare, "{prefix}{first}");
            }
        }
    }
}
