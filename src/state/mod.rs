//! What outlives a moment of one process: the directories that are ozr's own, and the locks in them.

pub mod lock_file;
pub mod owned_dir;

pub use lock_file::{Access, Asked, LockFile};
pub use owned_dir::OwnedDir;
