//! A JSON Web Key as it arrives (RFC 7517 s4), and the key that can be used.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use crate::jose::algorithm::{Algorithm, Algorithms};
use crate::jose::base64url;
use crate::jose::crypto::{self, PreparedKey};
use crate::jose::json::{self, Duplicates, Value};

const JWK_LIMITS: json::Limits = json::Limits { depth: 8, members: 64, duplicates: Duplicates::Refused };

/// Why a key of a set is not used. The set's other keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unusable {
    /// The entry is not a JSON object, or names a member twice.
    NotAnObject,
    /// A member is missing, of the wrong type, or not canonical base64url.
    MalformedMember,
    /// `kty` or `crv` is not one that this crate knows (RFC 7517 s5).
    UnknownKind,
    /// `alg` is not one that this crate knows, or does not go with `kty` and `crv`.
    WrongAlgorithm,
    /// A shared secret: a document that anybody may read holds no secrets (RFC 8725 s3.1).
    Symmetric,
    /// The private part is published too (RFC 7517 s9.2): the key must count as stolen.
    Private,
    /// `use` is not `sig`, or `key_ops` does not have `verify` (RFC 7517 s4.2, s4.3).
    NotForSignatures,
    /// An RSA modulus below 2048 bits (RFC 7518 s3.3), or even.
    WeakModulus,
    /// An RSA modulus over 8192 bits, which would cost too much to use.
    OversizedModulus,
    /// An RSA exponent that is 1, even, or longer than 32 bits.
    BadExponent,
    /// A point that is not on its curve, or of small order.
    BadPoint,
    /// The same key stands in the set already.
    Repeated,
    /// Other key material of the same `kid`, and nothing else that tells the two apart: a `kid` must name one key.
    AmbiguousKid,
    /// The set has more keys than the limit.
    TooMany,
}

impl Unusable {
    /// The stable name of this cause, in snake case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::MalformedMember => "malformed_member",
            Self::UnknownKind => "unknown_kind",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::Symmetric => "symmetric",
            Self::Private => "private",
            Self::NotForSignatures => "not_for_signatures",
            Self::WeakModulus => "weak_modulus",
            Self::OversizedModulus => "oversized_modulus",
            Self::BadExponent => "bad_exponent",
            Self::BadPoint => "bad_point",
            Self::Repeated => "repeated",
            Self::AmbiguousKid => "ambiguous_kid",
            Self::TooMany => "too_many",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A public key that was judged when its set was loaded, and is prepared.
pub struct VerificationKey {
    kid: Option<Box<str>>,
    algorithms: Algorithms,
    prepared: Vec<Prepared>,
    /// What it is prepared of, where that is not done for every algorithm yet.
    material: Option<Material>,
    /// A digest of the key material alone.
    digest: [u8; 32],
    identity: KeyIdentity,
}

/// Which key it is, by its material, its name and its algorithms, wherever and however often it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyIdentity([u64; 2]);

impl KeyIdentity {
    /// Of what tells it from others: half of a digest is enough that no two are taken for one.
    pub(crate) fn of(what: &[u8]) -> Self {
        let digest = crypto::sha256(what);
        let mut words = digest.chunks_exact(8).filter_map(|word| word.first_chunk().copied().map(u64::from_le_bytes));
        Self([words.next().unwrap_or(0), words.next().unwrap_or(0)])
    }

    pub(crate) fn to_bytes(self) -> [[u8; 8]; 2] {
        self.0.map(u64::to_le_bytes)
    }
}

/// A key for one algorithm. The first is prepared when the set is loaded, which shows that the material can be used; the others
/// when the first token comes for them. An RSA key without `alg` serves six, most of which never sign anything.
struct Prepared {
    algorithm: Algorithm,
    key: OnceLock<PreparedKey>,
}

impl VerificationKey {
    fn new(
        kid: Option<&str>,
        algorithms: Algorithms,
        prepared: Vec<Prepared>,
        material: Option<Material>,
        digest: [u8; 32],
    ) -> Self {
        let name = kid.map_or(&b"-"[..], |_| b"+");
        let named = [name, kid.unwrap_or_default().as_bytes()].concat();
        let identity = KeyIdentity::of(&[&digest, &algorithms.to_bytes()[..], &named].concat());
        Self { kid: kid.map(Into::into), algorithms, prepared, material, digest, identity }
    }

    pub(crate) const fn identity(&self) -> KeyIdentity {
        self.identity
    }

    /// The key's name in its set (RFC 7517 s4.5).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithms that the key can verify: the one that its `alg` names, or all that its kind allows.
    #[must_use]
    pub const fn algorithms(&self) -> Algorithms {
        self.algorithms
    }

    pub(crate) fn prepared_for(&self, algorithm: Algorithm) -> Option<&PreparedKey> {
        let prepared = self.prepared.iter().find(|prepared| prepared.algorithm == algorithm)?;
        if let Some(key) = prepared.key.get() {
            return Some(key);
        }
        // Where two come at once both prepare it, so that neither waits.
        let key = self.material.as_ref()?.prepare(algorithm)?;
        Some(prepared.key.get_or_init(|| key))
    }

    pub(crate) fn is_same_material(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// A shared secret, given by the operator.
    pub(crate) fn secret(kid: Option<&str>, algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        let prepared = Prepared { algorithm, key: PreparedKey::hmac(algorithm, secret)?.into() };
        Some(Self::new(kid, Algorithms::NONE.with(algorithm), vec![prepared], None, crypto::sha256(secret)))
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey").field("kid", &self.kid).field("algorithms", &self.algorithms).finish()
    }
}

/// The members of a JWK that count, as they were sent.
#[derive(Default)]
pub(crate) struct Jwk<'a> {
    members: Vec<(&'static str, Cow<'a, str>)>,
    key_ops: Option<Vec<Cow<'a, str>>>,
    is_private: bool,
}

/// The string members that are read; `x5c`, `x5u` and `x5t` are not, since a certificate never replaces the key beside it.
const STRING_MEMBERS: [&str; 11] = ["kty", "kid", "alg", "use", "crv", "x", "y", "n", "e", "k", "pub"];
/// The private members of every kind of key (RFC 7518 s6.2.2, s6.3.2, RFC 8037 s2, RFC 9964 s3).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "priv"];

impl<'a> Jwk<'a> {
    /// Reads one JWK.
    pub(crate) fn read(document: &'a [u8]) -> Result<Self, Unusable> {
        let mut jwk = Self::default();
        let mut malformed = false;
        json::object(document, JWK_LIMITS, |name, value| {
            if let Some(known) = STRING_MEMBERS.into_iter().find(|known| *known == name) {
                match value {
                    Value::String(text) => jwk.members.push((known, text.decoded())),
                    _ => malformed = true,
                }
            } else if name == "key_ops" {
                match value {
                    Value::Array(array) => jwk.key_ops = array.strings(),
                    _ => malformed = true,
                }
                malformed |= jwk.key_ops.is_none();
            } else if PRIVATE_MEMBERS.contains(&name) {
                jwk.is_private = true;
            }
        })
        .map_err(|_| Unusable::NotAnObject)?;
        if malformed { Err(Unusable::MalformedMember) } else { Ok(jwk) }
    }

    /// A member's text.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(member, _)| *member == name).map(|(_, text)| &**text)
    }

    fn octets(&self, name: &str) -> Result<Vec<u8>, Unusable> {
        let text = self.member(name).ok_or(Unusable::MalformedMember)?;
        base64url::decode(text.as_bytes()).ok_or(Unusable::MalformedMember)
    }

    /// Judges the key, and prepares it.
    pub(crate) fn prepare(&self) -> Result<VerificationKey, Unusable> {
        let kind = self.member("kty").ok_or(Unusable::MalformedMember)?;
        if kind == "oct" || self.member("k").is_some() {
            return Err(Unusable::Symmetric);
        }
        if self.is_private {
            return Err(Unusable::Private);
        }
        let for_signatures = self.member("use").is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
        if !for_signatures {
            return Err(Unusable::NotForSignatures);
        }
        let algorithms = self.fitting_algorithms(kind)?;
        let material = match kind {
            "RSA" => self.rsa()?,
            "EC" => self.ec(&algorithms)?,
            "OKP" => self.ed25519()?,
            _ => Material { kind: Kind::MlDsa, parts: [self.octets("pub")?, Vec::new()] },
        };
        let first = algorithms.first().and_then(|first| material.prepare(*first)).ok_or(Unusable::BadPoint)?;
        let mut first = Some(first);
        let prepare = |algorithm: &Algorithm| Prepared {
            algorithm: *algorithm,
            key: first.take().map_or_else(OnceLock::new, OnceLock::from),
        };
        let (prepared, digest) = (algorithms.iter().map(prepare).collect(), material.digest());
        let material = (algorithms.len() > 1).then_some(material);
        Ok(VerificationKey::new(self.member("kid"), algorithms.into_iter().collect(), prepared, material, digest))
    }

    /// The algorithms of the key's kind and curve, narrowed to its `alg` (RFC 7517 s4.4). `EdDSA` and `Ed25519` name the same
    /// signature (RFC 9864 s2.2), so a key that says one of them serves both.
    fn fitting_algorithms(&self, kind: &str) -> Result<Vec<Algorithm>, Unusable> {
        use Algorithm::{Ed25519, EdDsa, Es256, Es256k, Es384, Es512, MlDsa44, MlDsa65, MlDsa87};
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let of_kind: &[Algorithm] = match (kind, self.member("crv")) {
            ("RSA", _) => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
            ("EC", Some("P-256")) => &[Es256],
            ("EC", Some("P-384")) => &[Es384],
            ("EC", Some("P-521")) => &[Es512],
            ("EC", Some("secp256k1")) => &[Es256k],
            ("OKP", Some("Ed25519")) => &[EdDsa, Ed25519],
            // RFC 9964 s3: this kind has no meaning without `alg`.
            ("AKP", _) if self.member("alg").is_some() => &[MlDsa44, MlDsa65, MlDsa87],
            ("AKP", _) | ("EC" | "OKP", None) => return Err(Unusable::MalformedMember),
            _ => return Err(Unusable::UnknownKind),
        };
        let Some(alg) = self.member("alg") else { return Ok(of_kind.to_vec()) };
        match Algorithm::from_name(alg) {
            Some(EdDsa | Ed25519) if of_kind.contains(&EdDsa) => Ok(of_kind.to_vec()),
            Some(algorithm) if of_kind.contains(&algorithm) => Ok(vec![algorithm]),
            Some(_) | None => Err(Unusable::WrongAlgorithm),
        }
    }

    fn rsa(&self) -> Result<Material, Unusable> {
        let modulus = without_leading_zeros(self.octets("n")?);
        let exponent = without_leading_zeros(self.octets("e")?);
        match bits(&modulus) {
            0..2048 => return Err(Unusable::WeakModulus),
            2048..=8192 => {}
            8193.. => return Err(Unusable::OversizedModulus),
        }
        if !is_odd(&modulus) {
            return Err(Unusable::WeakModulus);
        }
        if !is_odd(&exponent) || exponent == [1] || exponent.len() > 4 {
            return Err(Unusable::BadExponent);
        }
        Ok(Material { kind: Kind::Rsa, parts: [modulus, exponent] })
    }

    fn ec(&self, algorithms: &[Algorithm]) -> Result<Material, Unusable> {
        let length = match algorithms.first() {
            Some(Algorithm::Es384) => 48,
            Some(Algorithm::Es512) => 66,
            Some(_) | None => 32,
        };
        let (x, y) = (self.octets("x")?, self.octets("y")?);
        // RFC 7518 s6.2.1.2: full length, leading zeros included.
        if x.len() != length || y.len() != length {
            return Err(Unusable::MalformedMember);
        }
        Ok(Material { kind: Kind::Ec, parts: [x, y] })
    }

    fn ed25519(&self) -> Result<Material, Unusable> {
        let key = self.octets("x")?;
        let key = <[u8; 32]>::try_from(key).map_err(|_| Unusable::MalformedMember)?;
        if is_refused_ed25519(&key) {
            return Err(Unusable::BadPoint);
        }
        Ok(Material { kind: Kind::Ed25519, parts: [key.to_vec(), Vec::new()] })
    }
}

/// What makes up a public key: n and e, x and y, or one string of octets.
struct Material {
    kind: Kind,
    parts: [Vec<u8>; 2],
}

#[derive(Clone, Copy)]
enum Kind {
    Rsa,
    Ec,
    Ed25519,
    MlDsa,
}

impl Material {
    fn prepare(&self, algorithm: Algorithm) -> Option<PreparedKey> {
        let [first, second] = &self.parts;
        match self.kind {
            Kind::Rsa => PreparedKey::rsa(algorithm, first, second),
            Kind::Ec => PreparedKey::ec(algorithm, first, second),
            Kind::Ed25519 => PreparedKey::ed25519(first),
            Kind::MlDsa => PreparedKey::ml_dsa(algorithm, first),
        }
    }

    fn digest(&self) -> [u8; 32] {
        let [first, second] = &self.parts;
        let kind: &[u8] = match self.kind {
            Kind::Rsa => b"RSA",
            Kind::Ec => b"EC",
            Kind::Ed25519 => b"OKP",
            Kind::MlDsa => b"AKP",
        };
        // With its length before it, so that no two pairs of parts are written alike.
        let length = u64::try_from(first.len()).unwrap_or(u64::MAX).to_be_bytes();
        crypto::sha256(&[kind, b"\0", &length, first, second].concat())
    }
}

fn without_leading_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|octet| *octet == 0).collect()
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|octet| octet & 1 == 1)
}

/// The length in bits of a number without leading zero octets.
fn bits(number: &[u8]) -> usize {
    let first = number.first().map_or(0, |octet| octet.leading_zeros());
    let unused = usize::try_from(first).unwrap_or(0);
    number.len().saturating_mul(8).saturating_sub(unused)
}

/// Points of small order, under which anybody can make signatures that hold, and encodings that are not canonical (RFC 8032
/// s5.1.3): y = 0, 1, p - 1, the two of order 8, and every y that is not below p. The sign bit does not matter.
fn is_refused_ed25519(key: &[u8; 32]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *key;
    let [low, middle @ .., high] = &mut y;
    *high &= 0x7f;
    let tiny = *low <= 1 && middle.iter().all(|octet| *octet == 0) && *high == 0;
    // p = 2^255 - 19 is ed ff .. ff 7f; p - 1 is the point of order 2.
    let from_p_minus_1 = *low >= 0xec && middle.iter().all(|octet| *octet == 0xff) && *high == 0x7f;
    tiny || from_p_minus_1 || ORDER_8.contains(&y)
}
