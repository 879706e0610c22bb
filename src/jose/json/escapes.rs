//! The escapes of strings (RFC 8259 s7).

/// The value of four hexadecimal digits.
pub(super) fn hex4(digits: &[u8; 4]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| {
        char::from(*digit).to_digit(16).map(|digit| value.wrapping_mul(16).wrapping_add(digit))
    })
}

/// Appends a string without its escapes, which have been checked.
#[cold]
pub(super) fn undo(raw: &str, out: &mut String) {
    out.reserve(raw.len());
    let mut rest = raw;
    while let Some((plain, after)) =
        rest.bytes().position(|byte| byte == b'\\').and_then(|at| rest.split_at_checked(at))
    {
        out.push_str(plain);
        let mut characters = after.chars();
        let kind = characters.nth(1).unwrap_or('\\');
        rest = characters.as_str();
        out.push(match kind {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, after) = unicode(rest);
                rest = after;
                character
            }
            itself => itself,
        });
    }
    out.push_str(rest);
}

/// The character after `\u`, and what follows it.
fn unicode(digits: &str) -> (char, &str) {
    let unit = |at: usize| digits.as_bytes().get(at..).and_then(<[u8]>::first_chunk).and_then(hex4);
    let Some(first) = unit(0) else { return (char::REPLACEMENT_CHARACTER, "") };
    if let Some(character) = char::from_u32(first) {
        return (character, digits.get(4..).unwrap_or_default());
    }
    // A high surrogate, `\u`, and a low one.
    let second = unit(6).unwrap_or_default();
    let code = 0x1_0000_u32.wrapping_add((first & 0x3FF) << 10).wrapping_add(second & 0x3FF);
    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), digits.get(10..).unwrap_or_default())
}
