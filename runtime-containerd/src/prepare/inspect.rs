//! What can only be known with the image's files at hand.

use std::path::{Path, PathBuf};

use rac_model::ContainerConfig;
use rustix::fs::FileType;

use super::Unusable;
use crate::image::{DEFAULT_PATH, User};
use crate::ranges::SIZE;
use crate::rootfs::Root;

/// The most that is read of `/etc/passwd` and `/etc/group`.
const MAX_TEXT: u64 = 1024 * 1024;
/// The most groups that a user is taken to be in.
const MAX_GROUPS: usize = 64;

/// Whether there is a program to start, and who starts it.
pub(super) fn inspect(root: &Root, config: &ContainerConfig) -> Result<User, Unusable> {
    find_program(root, config)?;
    let (passwd, groups) = (read(root, "/etc/passwd")?, read(root, "/etc/group")?);
    find_user(&config.user, &passwd, &groups).map_err(Unusable::Image)
}

/// runc opens these files too, inside: it would wait at a FIFO for ever.
fn read(root: &Root, path: &str) -> Result<String, Unusable> {
    let text = root.read_text(path, MAX_TEXT)?;
    text.ok_or_else(|| Unusable::Image(format!("{path} in the image is not a file: make it one")))
}

fn find_program(root: &Root, config: &ContainerConfig) -> Result<(), Unusable> {
    let args = config.args();
    let Some(program) = args.first() else { return Ok(()) };
    let in_a_volume = |path: &Path| config.volumes.iter().any(|volume| path.starts_with(volume));
    let mut found_unusable = false;
    for path in places(program, config) {
        if in_a_volume(&path) {
            return Ok(());
        }
        match root.stat(&path)? {
            Some(stat) if is_program(stat.st_mode) => return Ok(()),
            Some(_) => found_unusable = true,
            None => {}
        }
    }
    let name: String = program.chars().take(80).collect();
    Err(Unusable::Image(if found_unusable {
        format!(
            "`{name}` in the image is not executable: chmod +x it, or correct ENTRYPOINT and CMD"
        )
    } else {
        format!("there is no program `{name}` in the image: correct ENTRYPOINT, CMD or PATH")
    }))
}

/// Where the program may be, as `execvp` would look for it.
fn places(program: &str, config: &ContainerConfig) -> Vec<PathBuf> {
    if program.contains('/') {
        let directory = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
        return vec![Path::new(directory).join(program)];
    }
    let path = config.env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
    path.unwrap_or(DEFAULT_PATH)
        .split(':')
        .map(|dir| Path::new("/").join(dir).join(program))
        .collect()
}

fn is_program(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::RegularFile && mode & 0o111 != 0
}

/// `USER` as Docker has it: a name or an id, with a group after a colon.
fn find_user(user: &str, passwd: &str, groups: &str) -> Result<User, String> {
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = entries(passwd)
        .find(|fields| fields.first() == Some(&user) || fields.get(2) == Some(&user));
    let number = |fields: &[&str], at: usize| fields.get(at).and_then(|id| id.parse::<u32>().ok());
    let uid = user.parse().ok().or_else(|| number(entry.as_ref()?, 2));
    let Some(uid) = uid else {
        return Err(format!(
            "USER `{user}` is not in the image's /etc/passwd: add it, or use its number"
        ));
    };
    let gid = match group {
        Some(group) => find_group(group, groups)?,
        None => entry.as_ref().and_then(|fields| number(fields, 3)).unwrap_or(0),
    };
    let name = entry.as_ref().and_then(|fields| fields.first().copied());
    let more = match (group, name) {
        (None, Some(name)) => member_of(name, groups),
        _ => Vec::new(),
    };
    if uid >= SIZE || gid >= SIZE {
        return Err(format!("USER `{user}` has an id above 65535: choose another"));
    }
    Ok(User { uid, gid, groups: more })
}

fn find_group(group: &str, groups: &str) -> Result<u32, String> {
    let named = || {
        let entry = entries(groups).find(|fields| fields.first() == Some(&group))?;
        entry.get(2)?.parse().ok()
    };
    group.parse().ok().or_else(named).ok_or_else(|| {
        format!(
            "USER's group `{group}` is not in the image's /etc/group: add it, or use its number"
        )
    })
}

/// The groups that list `name` as a member.
fn member_of(name: &str, groups: &str) -> Vec<u32> {
    let lists =
        |fields: &[&str]| fields.get(3).is_some_and(|list| list.split(',').any(|m| m == name));
    entries(groups)
        .filter(|fields| lists(fields))
        .filter_map(|fields| fields.get(2)?.parse().ok())
        .filter(|gid| *gid < SIZE)
        .take(MAX_GROUPS)
        .collect()
}

fn entries(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.trim().split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:1001:1002::/home/web:/bin/sh\nbig:x:70000:0::/:\n";
    const GROUPS: &str = "root:x:0:\nweb:x:1002:\nlogs:x:1003:web,other\nmore:x:1004:other,web\n";

    #[track_caller]
    fn check(user: &str, uid: u32, gid: u32, groups: &[u32]) {
        let expected = User { uid, gid, groups: groups.to_vec() };
        assert_eq!(find_user(user, PASSWD, GROUPS), Ok(expected), "{user:?}");
    }

    #[test]
    fn a_user_is_found_as_docker_finds_it() {
        check("", 0, 0, &[]);
        check("web", 1001, 1002, &[1003, 1004]);
        check("1001", 1001, 1002, &[1003, 1004]);
        check("web:logs", 1001, 1003, &[]);
        check("web:7", 1001, 7, &[]);
        check("4242", 4242, 0, &[]);
        check("4242:4243", 4242, 4243, &[]);
    }

    #[test]
    fn a_user_who_is_not_there_is_named() {
        for (user, named) in
            [("nobody", "USER `nobody`"), ("web:none", "group `none`"), ("big", "65535")]
        {
            let refused = find_user(user, PASSWD, GROUPS).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
    }
}
