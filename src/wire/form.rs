//! The body of a form (`application/x-www-form-urlencoded`) that may hold secrets.

use bytes::Bytes;
use zeroize::Zeroizing;

/// The form with these members, each one value whatever its octets are. It is wiped when it was sent.
pub(crate) fn form<'m>(members: impl Iterator<Item = (&'m str, &'m [u8])> + Clone) -> Bytes {
    // Room for all of it, so that it is not left behind in pieces: an octet may become three.
    let long =
        |(name, value): (&str, &[u8])| name.len().saturating_add(value.len()).saturating_mul(3).saturating_add(2);
    let mut text = String::with_capacity(members.clone().map(long).fold(0, usize::saturating_add));
    for (name, value) in members {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        text.push('=');
        text.extend(form_urlencoded::byte_serialize(value));
    }
    Bytes::from_owner(Zeroizing::new(text.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::form;

    #[test]
    fn every_octet_stays_itself() {
        let members = [("token", b"a&b=c d\xff".as_slice()), ("t\u{e9}", b"")];
        let body = form(members.into_iter());
        assert_eq!(body, "token=a%26b%3Dc+d%FF&t%C3%A9=");
        let read: Vec<_> = form_urlencoded::parse(b"token=a%26b%3Dc+d&x=%2B").collect();
        assert_eq!(form(read.iter().map(|(name, value)| (&**name, value.as_bytes()))), "token=a%26b%3Dc+d&x=%2B");
    }
}
