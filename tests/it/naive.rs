//! A second validator: slow, obvious, one straight line, sharing nothing with the crate but the standards.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use scopegate::Family;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// JSON that knows each name once.
pub(crate) enum Json {
    Null,
    Bool,
    Number(f64),
    Text(String),
    List(Vec<Self>),
    Members(BTreeMap<String, Self>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
                Ok(Json::Bool)
            }
            fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
                Ok(Json::Number(number as f64))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
                Ok(Json::Number(number as f64))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
                Ok(Json::Number(number))
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                let mut read = Vec::new();
                while let Some(element) = list.next_element()? {
                    read.push(element);
                }
                Ok(Json::List(read))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut read = BTreeMap::new();
                while let Some((name, value)) = members.next_entry::<String, Json>()? {
                    // How `serde_json` hands out a number where another crate turned its `arbitrary_precision` on.
                    if name == "$serde_json::private::Number" {
                        let number = value.text().and_then(|text| text.parse::<f64>().ok());
                        let number = number.filter(|number| number.is_finite());
                        return number.map(Json::Number).ok_or_else(|| A::Error::custom("out of range"));
                    }
                    if read.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name twice"));
                    }
                }
                Ok(Json::Members(read))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Json {
    fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Members(members) => 1 + members.values().map(Self::depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// A key that the naive validator knows: its `kid`, its `alg`, its octets.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) alg: &'static str,
    pub(crate) octets: Vec<u8>,
}

pub(crate) struct Naive {
    pub(crate) keys: Vec<Key>,
    pub(crate) issuer: &'static str,
    pub(crate) audience: &'static str,
    pub(crate) scope: &'static str,
    pub(crate) now: f64,
    pub(crate) leeway: f64,
}

const INVALID: Family = Family::InvalidToken;

impl Naive {
    pub(crate) fn judge(&self, token: &str) -> Result<(), Family> {
        let parts: Vec<&str> = token.split('.').collect();
        if parts.len() != 3 {
            return Err(INVALID);
        }
        let header = object(parts[0])?;
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(value) => value.text().map(Some).ok_or(INVALID),
        };
        let (alg, kid, typ) = (text("alg")?, text("kid")?, text("typ")?);
        if ["crit", "b64", "zip", "enc"].iter().any(|name| header.contains_key(*name)) {
            return Err(INVALID);
        }
        let typ = typ.unwrap_or_default().to_ascii_lowercase();
        if typ != "at+jwt" && typ != "application/at+jwt" {
            return Err(INVALID);
        }
        if text("cty")?.is_some_and(|cty| ["jwt", "application/jwt"].contains(&&*cty.to_ascii_lowercase())) {
            return Err(INVALID);
        }
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).map_err(|_| INVALID)?;
        let input = format!("{}.{}", parts[0], parts[1]);
        let fits = |key: &&Key| Some(key.alg) == alg && kid.is_none_or(|kid| kid == key.kid);
        let holds = self.keys.iter().filter(fits).any(|key| match key.alg {
            "ES256" => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.octets);
                key.verify(input.as_bytes(), &signature).is_ok()
            }
            _ => UnparsedPublicKey::new(&ED25519, &key.octets).verify(input.as_bytes(), &signature).is_ok(),
        });
        if !holds {
            return Err(INVALID);
        }
        self.claims(&object(parts[1])?)
    }

    fn claims(&self, claims: &BTreeMap<String, Json>) -> Result<(), Family> {
        for name in ["iss", "sub", "client_id", "jti"] {
            match claims.get(name).map(Json::text) {
                Some(Some(text)) if !text.is_empty() => {}
                _ => return Err(INVALID),
            }
        }
        let date = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Json::Number(date)) if (0.0..253_402_300_800.0).contains(date) => Ok(Some(*date)),
            Some(_) => Err(INVALID),
        };
        let (exp, nbf, iat, _) = (date("exp")?, date("nbf")?, date("iat")?, date("auth_time")?);
        if self.now >= exp.ok_or(INVALID)? + self.leeway {
            return Err(INVALID);
        }
        if nbf.is_some_and(|nbf| nbf > self.now + self.leeway) || iat.ok_or(INVALID)? > self.now + self.leeway {
            return Err(INVALID);
        }
        if claims.get("iss").and_then(Json::text) != Some(self.issuer) || claims.contains_key("cnf") {
            return Err(INVALID);
        }
        if !strings(claims.get("aud").ok_or(INVALID)?)?.contains(&self.audience) {
            return Err(INVALID);
        }
        if claims.get("acr").is_some_and(|acr| acr.text().is_none()) {
            return Err(INVALID);
        }
        if claims.get("amr").is_some_and(|amr| !matches!(amr, Json::List(_)) || strings(amr).is_err()) {
            return Err(INVALID);
        }
        if let Some(scp) = claims.get("scp") {
            strings(scp)?;
        }
        match claims.get("scope") {
            Some(Json::Text(scopes)) if scopes.split(' ').any(|scope| scope == self.scope) => Ok(()),
            None | Some(Json::Text(_) | Json::List(_)) => Err(Family::InsufficientScope),
            Some(_) => Err(INVALID),
        }
    }
}

fn object(segment: &str) -> Result<BTreeMap<String, Json>, Family> {
    let octets = URL_SAFE_NO_PAD.decode(segment).map_err(|_| INVALID)?;
    match serde_json::from_slice::<Json>(&octets) {
        // Sixteen levels, the outermost included.
        Ok(Json::Members(members)) if members.values().all(|value| value.depth() < 16) => Ok(members),
        _ => Err(INVALID),
    }
}

fn strings(value: &Json) -> Result<Vec<&str>, Family> {
    match value {
        Json::Text(text) => Ok(vec![text]),
        Json::List(list) => list.iter().map(|element| element.text().ok_or(INVALID)).collect(),
        _ => Err(INVALID),
    }
}
