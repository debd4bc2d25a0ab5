//! Keeping the registry's tags where the ledger has them: what was pushed without the right to, or
//! was removed, must not be what a tag stands on.

use rac_model::{AppName, Digest, Tag};

use crate::db::{Db, DbError, apps, denied, releases};
use crate::registry::{Registry, RegistryError, is_nothing};

/// The tags of the registry.
#[derive(Clone)]
pub(crate) struct Tags {
    pub(crate) db: Db,
    pub(crate) registry: Registry,
}

/// Why a tag is not where it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TagError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Tags {
    /// Takes `tag` off `digest`, which is no release: back to the newest push of the tag, or away
    /// where there is none. Says whether it stood there.
    pub(crate) async fn take_off(
        &self,
        app: &AppName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<bool, TagError> {
        if self.registry.tag(app, tag).await? != Some(*digest) {
            return Ok(false);
        }
        self.put_back(app, tag, digest).await?;
        Ok(true)
    }

    async fn put_back(&self, app: &AppName, tag: &Tag, from: &Digest) -> Result<(), TagError> {
        let newest = releases::newest_push(self.db.reader(), app, tag).await?;
        if let Some(newest) = newest
            && !denied::is(self.db.reader(), app, tag, &newest.digest).await?
        {
            if newest.digest == *from {
                return Ok(());
            }
            match self.registry.put_tag(app, tag, &newest.digest).await {
                // The registry has lost it.
                Err(RegistryError::Missing(_)) => {}
                put => return Ok(put?),
            }
        }
        Ok(self.registry.remove_tag(app, tag).await?)
    }

    /// Removes what the registry still has of an app that is no more.
    pub(crate) async fn forget(&self, app: &AppName, digests: &[Digest]) -> Result<(), TagError> {
        for digest in digests {
            // Somebody may have pushed it again meanwhile.
            if !releases::needs(self.db.reader(), app, digest).await? {
                self.registry.delete(app, digest).await?;
            }
        }
        let mut from = None;
        loop {
            let page = self.registry.tags(app, from.as_deref()).await?;
            for tag in page.names.iter().filter_map(|tag| tag.parse::<Tag>().ok()) {
                self.forget_tag(app, &tag).await?;
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Removes what `tag` stands on, where no app has it and it was a release, or RAC's own.
    pub(crate) async fn forget_tag(&self, app: &AppName, tag: &Tag) -> Result<(), TagError> {
        if apps::find(self.db.reader(), app).await?.is_some() {
            return Ok(());
        }
        let Some(digest) = self.registry.tag(app, tag).await? else { return Ok(()) };
        let was_racs = tag.is_pin()
            || is_nothing(app, tag, &digest)
            || denied::is(self.db.reader(), app, tag, &digest).await?;
        if was_racs {
            self.registry.delete(app, &digest).await?;
        }
        Ok(())
    }
}
