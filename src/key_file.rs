//! Saved keys in a file.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::keys::saved::{LONGEST, RestoreError, SavedKeys, SealingSecret};

/// A file in which a validator keeps its keys, sealed under a secret: read at the start with [`read`](Self::read), and written by
/// the validator that it is given to ([`ValidatorBuilder::keep_keys_in`](crate::ValidatorBuilder::keep_keys_in)).
///
/// It is replaced whole: whatever happens while it is written, the old document is there or the new one. Only its owner may read
/// it. Each process needs a file of its own, or the last that writes it wins, which harms nobody.
///
/// ```
/// use scopegate::{Issuer, KeyFile, SealingSecret, Validator};
/// let file = KeyFile::new(std::env::temp_dir().join("api.keys"), SealingSecret::new([7; 32])?);
/// let mut builder = Validator::builder("https://api.example.com").trust(Issuer::discover("https://id.example.com"));
/// match file.read() {
///     Ok(saved) => builder = builder.restore(saved),
///     Err(error) if error.is_not_found() => {} // the first start
///     Err(error) => eprintln!("saved keys do not serve: {error}"),
/// }
/// let validator = builder.keep_keys_in(file).build()?;
/// # Ok::<(), scopegate::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
    pub(crate) secret: SealingSecret,
}

impl KeyFile {
    /// The file at this path, whose folder exists.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, secret: SealingSecret) -> Self {
        Self { path: path.into(), secret }
    }

    /// Reads and opens it.
    ///
    /// # Errors
    /// [`RestoreError::File`] if it cannot be read, and the others of [`SavedKeys::open`].
    pub fn read(&self) -> Result<SavedKeys, RestoreError> {
        let mut document = Vec::new();
        let file = File::open(&self.path).map_err(RestoreError::file)?;
        // One byte more than is believed, so that a longer one is seen to be longer.
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut document).map_err(RestoreError::file)?;
        SavedKeys::open(&document, &self.secret)
    }

    /// Replaces what is there.
    pub(crate) fn write(&self, document: &[u8]) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let beside = self.beside(folder)?;
        let written = write_through(&beside, document).and_then(|()| fs::rename(&beside, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written?;
        // The new name is lost with the power otherwise. Not every system can do it, and the document itself is safe.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }

    /// A name in the same folder that nobody else has.
    fn beside(&self, folder: &Path) -> io::Result<PathBuf> {
        let name = self.path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        // By chance: two containers on one volume may both be process 1.
        beside.push(format!(".{:016x}", RandomState::new().build_hasher().finish()));
        Ok(folder.join(beside))
    }
}

fn write_through(path: &Path, document: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(document)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{process, thread};

    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("scopegate-{name}-{}", process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> KeyFile {
            KeyFile::new(self.0.join("keys"), SealingSecret::new([7; 32]).unwrap())
        }

        fn names(&self) -> Vec<String> {
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn empty(file: &KeyFile) -> Vec<u8> {
        SavedKeys::seal([], crate::clock::Timestamp::new(0, std::time::Duration::ZERO), &file.secret)
    }

    #[test]
    fn it_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = Folder::new("whole");
        let file = folder.file();
        assert!(file.read().unwrap_err().is_not_found());
        file.write(b"something else").unwrap();
        assert!(matches!(file.read(), Err(RestoreError::NotSealed)));
        file.write(&empty(&file)).unwrap();
        assert!(file.read().is_ok());
        assert_eq!(folder.names(), ["keys"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(folder.0.join("keys")).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let folder = Folder::new("failure");
        fs::create_dir(folder.0.join("keys")).unwrap();
        assert!(folder.file().write(b"x").is_err(), "a folder of that name");
        assert_eq!(folder.names(), ["keys"]);
        let nowhere = KeyFile::new(folder.0.join("missing").join("keys"), SealingSecret::new([7; 32]).unwrap());
        assert!(nowhere.write(b"x").is_err());
        assert!(KeyFile::new("/", SealingSecret::new([7; 32]).unwrap()).write(b"x").is_err());
    }

    #[test]
    fn of_two_that_write_at_once_one_wins_whole() {
        let folder = Folder::new("two");
        let file = folder.file();
        let documents = [b'a', b'b'].map(|octet| vec![octet; 100_000]);
        thread::scope(|scope| {
            for document in &documents {
                let file = &file;
                scope.spawn(move || (0..20).for_each(|_| file.write(document).unwrap()));
            }
            let seen = |_| fs::read(folder.0.join("keys")).map_or(true, |found| documents.contains(&found));
            assert!((0..200).all(seen));
        });
        assert_eq!(folder.names(), ["keys"]);
    }
}
