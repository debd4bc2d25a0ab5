//! Which system calls an instance may make: Docker's default profile as it applies to a container
//! without any capability, on this kind of machine.
//!
//! `io_uring` is not in it (Docker took it out in 2023), and neither are the system calls of 32-bit
//! programs: fewer ways in, and a filter that is made in a third of the time.

use serde_json::{Value, json};

/// `EPERM`.
const NOT_PERMITTED: u32 = 1;
/// `ENOSYS`: the C libraries then use `clone`, whose flags can be looked at.
const NOT_IMPLEMENTED: u32 = 38;
/// `AF_VSOCK`: a way to the host of a virtual machine.
const VSOCK: u64 = 40;
/// Every flag of `clone` that makes a namespace: mount, cgroup, UTS, IPC, user, PID, network.
const NAMESPACES: u64 = 0x7e02_0000;
/// Linux, also with a fixed memory layout, and asking what it is.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// What any program may call.
const ALLOWED: &str = "\
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown \
    clock_adjtime clock_getres clock_gettime clock_nanosleep close close_range connect \
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit \
    exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat \
    fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr \
    fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake \
    futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid \
    getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom \
    getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday \
    getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel \
    io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set kill \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat \
    listen listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack \
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall \
    mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap \
    msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep \
    newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc \
    pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease \
    process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead \
    readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename \
    renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo \
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam \
    sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam \
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg \
    sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid \
    setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid \
    setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 \
    socketpair splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee \
    tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime \
    timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat \
    utime utimensat utimes vfork vmsplice wait4 waitid write writev";

/// What only programs for this kind of processor call.
#[cfg(target_arch = "x86_64")]
const OF_THE_PROCESSOR: &str = "arch_prctl modify_ldt";
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_PROCESSOR: &str = "";

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "SCMP_ARCH_X86_64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "SCMP_ARCH_AARCH64";

/// The profile, as a specification has it. runc leaves out what a machine does not have.
///
/// `ptrace` and reading another process's memory are allowed, as Docker does from Linux 4.8 on:
/// since then they cannot be used to go around the filter.
pub(super) fn profile() -> Value {
    let names: Vec<&str> =
        ALLOWED.split(' ').chain(OF_THE_PROCESSOR.split_terminator(' ')).collect();
    let mut calls = vec![
        json!({ "names": names, "action": "SCMP_ACT_ALLOW" }),
        allow_if("socket", "SCMP_CMP_NE", VSOCK, None),
        allow_if("clone", "SCMP_CMP_MASKED_EQ", NAMESPACES, Some(0)),
        json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": NOT_IMPLEMENTED }),
    ];
    let personality = |value| allow_if("personality", "SCMP_CMP_EQ", value, None);
    calls.extend(PERSONALITIES.map(personality));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": NOT_PERMITTED,
        "architectures": [ARCHITECTURE],
        "syscalls": calls,
    })
}

/// Allows a call by its first argument.
fn allow_if(name: &str, op: &str, value: u64, value_two: Option<u64>) -> Value {
    let mut argument = json!({ "index": 0, "value": value, "op": op });
    if let (Some(two), Some(fields)) = (value_two, argument.as_object_mut()) {
        fields.insert("valueTwo".to_owned(), json!(two));
    }
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_capability_is_not_allowed() {
        let allowed: Vec<&str> = ALLOWED.split(' ').collect();
        for call in [
            "bpf",
            "mount",
            "umount2",
            "setns",
            "unshare",
            "clone",
            "clone3",
            "open_tree",
            "fsopen",
            "move_mount",
            "mount_setattr",
            "reboot",
            "init_module",
            "finit_module",
            "kexec_load",
            "open_by_handle_at",
            "perf_event_open",
            "chroot",
            "pivot_root",
            "swapon",
            "acct",
            "iopl",
            "ioperm",
            "settimeofday",
            "clock_settime",
            "sethostname",
            "keyctl",
            "add_key",
            "request_key",
            "io_uring_setup",
            "userfaultfd",
            "kcmp",
            "quotactl",
            "syslog",
            "socket",
            "personality",
            "vhangup",
            "nfsservctl",
            "lookup_dcookie",
            "fanotify_init",
        ] {
            assert!(!allowed.contains(&call), "{call}");
        }
    }

    #[test]
    fn the_table_has_no_call_twice() {
        let mut names: Vec<&str> = ALLOWED.split(' ').collect();
        let all = names.len();
        assert!(names.iter().all(|name| !name.is_empty()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
