//! Who calls, and what they may: API keys, anonymous access, admin list.
//!
//! Keys come from `AUTHENTICATION_APIKEY_ALLOWED_KEYS` and, beside them, from the file named by
//! `AZIMUTH_APIKEY_FILE` (`key,user` a line), which is read again when it changes. Keys are compared in constant time.
//!
//! A [`Caller`] is authenticated, a [`Permit`] is a decision about a caller. Only [`Auth`] makes either; the calls of the
//! application take them.

mod permit;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;

pub(crate) use permit::{Access, Forbidden, Grant, Permit, Resource};

use crate::settings::{flag, list, path};
use crate::watched::Watched;

/// An authenticated caller. Only [`Auth::authenticate`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Name of the user; `None` is an anonymous caller.
    username: Option<String>,
}

impl Caller {
    /// Name of the user; `None` is an anonymous caller.
    pub(crate) fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The name that rules are written for.
    fn name(&self) -> &str {
        self.username.as_deref().unwrap_or("anonymous")
    }
}

/// Why a caller is not known. Front ends word it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unauthenticated {
    /// The request has no key, and anonymous callers are not accepted.
    NoKey {
        /// Whether keys are accepted.
        api_keys: bool,
    },
    /// The request has a key, and keys are not accepted.
    NoScheme,
    /// Nobody has that key.
    WrongKey,
}

/// The rules of this process.
#[derive(Debug)]
pub(crate) struct Auth {
    anonymous: bool,
    api_keys: bool,
    fixed: Vec<(String, String)>,
    file: Option<PathBuf>,
    from_file: ArcSwap<Vec<(String, String)>>,
    admin_list: Option<AdminList>,
}

#[derive(Debug)]
struct AdminList {
    users: Vec<String>,
    readers: Vec<String>,
}

impl Auth {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the variables that contradict each other.
    pub(crate) fn from_environment() -> Result<Arc<Self>, String> {
        let api_keys = flag("AUTHENTICATION_APIKEY_ENABLED", false);
        let (keys, users) = (list("AUTHENTICATION_APIKEY_ALLOWED_KEYS"), list("AUTHENTICATION_APIKEY_USERS"));
        let file = path("AZIMUTH_APIKEY_FILE");
        if api_keys && keys.is_empty() && file.is_none() {
            return Err("AUTHENTICATION_APIKEY_ALLOWED_KEYS needs at least one key".to_owned());
        }
        if api_keys && !keys.is_empty() && users.len() != 1 && users.len() != keys.len() {
            return Err("AUTHENTICATION_APIKEY_USERS needs one user, or as many as there are keys".to_owned());
        }
        if !api_keys && (!keys.is_empty() || file.is_some()) {
            tracing::warn!("API keys are set, but AUTHENTICATION_APIKEY_ENABLED is not true: nobody needs one");
        }
        let named = |(i, key): (usize, String)| {
            let user = if users.len() == 1 { users.first() } else { users.get(i) };
            (key, user.cloned().unwrap_or_default())
        };
        let admin_list = flag("AUTHORIZATION_ADMINLIST_ENABLED", false).then(|| AdminList {
            users: list("AUTHORIZATION_ADMINLIST_USERS"),
            readers: list("AUTHORIZATION_ADMINLIST_READONLY_USERS"),
        });
        let auth = Self {
            anonymous: flag("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", !api_keys),
            api_keys,
            fixed: if api_keys { keys.into_iter().enumerate().map(named).collect() } else { Vec::new() },
            file: file.filter(|_| api_keys),
            from_file: ArcSwap::default(),
            admin_list,
        };
        auth.reload()?;
        Ok(Arc::new(auth))
    }

    /// Looks at the key file now and then, for as long as the process lives. A file that cannot be read keeps the old keys.
    pub(crate) async fn watch_file(self: Arc<Self>) {
        let Some(file) = self.file.clone() else { return };
        let mut watched = Watched::new([file]);
        loop {
            watched.changed().await;
            match self.reload() {
                Ok(()) => tracing::info!(keys = self.from_file.load().len(), "API keys read from their file again"),
                Err(error) => tracing::warn!(%error, "read API keys; the old ones stay"),
            }
        }
    }

    fn reload(&self) -> Result<(), String> {
        let Some(file) = &self.file else { return Ok(()) };
        let text = std::fs::read_to_string(file).map_err(|error| format!("read AZIMUTH_APIKEY_FILE: {error}"))?;
        self.from_file.store(Arc::new(parse_keys(&text)?));
        Ok(())
    }

    /// The sender of a request with this `Authorization` header. `access_token` counts as a key as well.
    ///
    /// # Errors
    /// Why the caller is not known.
    pub(crate) fn authenticate(
        &self,
        authorization: Option<&str>,
        access_token: Option<&str>,
    ) -> Result<Caller, Unauthenticated> {
        let bearer = authorization.and_then(bearer_key);
        match bearer.or(access_token).filter(|key| !key.is_empty()) {
            None if self.anonymous => Ok(Caller { username: None }),
            None => Err(Unauthenticated::NoKey { api_keys: self.api_keys }),
            Some(_) if !self.api_keys => Err(Unauthenticated::NoScheme),
            Some(key) => {
                let username = self.user_of(key).ok_or(Unauthenticated::WrongKey)?;
                Ok(Caller { username: Some(username) })
            }
        }
    }

    /// Every key is looked at, so that the time taken tells nothing about which one fits.
    fn user_of(&self, key: &str) -> Option<String> {
        let mut found = None;
        for (known, user) in self.fixed.iter().chain(self.from_file.load().iter()) {
            if bool::from(known.as_bytes().ct_eq(key.as_bytes())) {
                found = Some(user.clone());
            }
        }
        found
    }

    /// Decides whether the caller may do all of `access` with the resource.
    ///
    /// # Errors
    /// The first that the caller may not do.
    pub(crate) fn decide(
        &self,
        caller: &Caller,
        access: &'static [Access],
        resource: &Resource<'_>,
    ) -> Result<Grant, Forbidden> {
        let Some(rules) = &self.admin_list else { return Ok(Grant::new(access)) };
        let name = caller.name();
        let named = |users: &[String]| users.iter().any(|user| user == name);
        let may = |access: Access| named(&rules.users) || access == Access::Read && named(&rules.readers);
        match access.iter().find(|access| !may(**access)) {
            None => Ok(Grant::new(access)),
            Some(access) => {
                Err(Forbidden { user: name.to_owned(), access: *access, resource: resource.clone().into_owned() })
            }
        }
    }

    /// As [`Auth::decide`], with the resource that the decision is about.
    ///
    /// # Errors
    /// As [`Auth::decide`].
    pub(crate) fn permit(
        &self,
        caller: &Caller,
        access: &'static [Access],
        resource: Resource<'_>,
    ) -> Result<Permit, Forbidden> {
        Ok(Permit::new(self.decide(caller, access, &resource)?, resource))
    }
}

/// The key of an `Authorization` header; the scheme is written in any case (RFC 9110, 11.1).
fn bearer_key(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_end())
}

/// The keys and users of a key file: `key,user` a line, blank lines and lines with `#` at their beginning left out.
///
/// # Errors
/// The number of the first line that is something else. No text of the file: it may be a key.
fn parse_keys(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut keys = Vec::new();
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pair = line.split_once(',').map(|(key, user)| (key.trim(), user.trim()));
        let Some((key, user)) = pair.filter(|(key, user)| !key.is_empty() && !user.is_empty()) else {
            return Err(format!("AZIMUTH_APIKEY_FILE: line {} is not `key,user`", number + 1));
        };
        keys.push((key.to_owned(), user.to_owned()));
    }
    Ok(keys)
}

#[cfg(test)]
impl Auth {
    /// Three users with their names as keys: `admin` may do everything, `reader` may read, `nobody` may do nothing.
    pub(crate) fn of_tests() -> Arc<Self> {
        let key = |user: &str| (user.to_owned(), user.to_owned());
        let admin_list = AdminList { users: vec!["admin".to_owned()], readers: vec!["reader".to_owned()] };
        Arc::new(Self {
            anonymous: false,
            api_keys: true,
            fixed: ["admin", "reader", "nobody"].map(key).to_vec(),
            file: None,
            from_file: ArcSwap::default(),
            admin_list: Some(admin_list),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{bearer_key, parse_keys};

    #[test]
    fn schemes_are_read_in_any_case() {
        assert_eq!(bearer_key("Bearer  key"), Some(" key"), "a second blank is part of the key, as recorded");
        for value in ["Bearer key", "bearer key", "BEARER key"] {
            assert_eq!(bearer_key(value), Some("key"), "{value}");
        }
        for value in ["Basic key", "Bearerkey", "Bearer"] {
            assert_eq!(bearer_key(value), None, "{value}");
        }
    }

    #[test]
    fn key_files() {
        let pair = |key: &str, user: &str| (key.to_owned(), user.to_owned());
        assert_eq!(parse_keys("# keys\n\n a , u \nb,v").expect("keys"), [pair("a", "u"), pair("b", "v")]);
        assert_eq!(parse_keys("").expect("no key"), []);
        for bad in ["a,u\nsecret", "a,", ",u", "a,u\n,"] {
            let error = parse_keys(bad).expect_err("a line that is no key");
            assert!(error.contains("line") && !error.contains("secret"), "{error}");
        }
    }
}
