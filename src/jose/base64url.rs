//! base64url as JOSE wants it: no padding, no white space, one text for one value (RFC 7515 s2, RFC 4648 s3.5).

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

/// The octets that the text stands for, or `None` if it is not canonical.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    ENGINE.decode(text).ok()
}

/// The one text that stands for these octets.
pub(crate) fn encode(octets: &[u8]) -> String {
    ENGINE.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
