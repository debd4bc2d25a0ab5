/* The app in the tests' images: a web server that does what it is asked, good or bad. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static char answer[65536];

static void end(int signal) {
    _exit(signal == SIGINT ? 7 : 0);
}

static const char *outcome(long result) {
    return result >= 0 ? "done" : strerrorname_np(errno);
}

/* What a program that wants out would try. */
static const char *try(const char *what, const char *at) {
    if (!strcmp(what, "mount")) return outcome(mount("none", "/tmp", "tmpfs", 0, ""));
    if (!strcmp(what, "unshare")) return outcome(unshare(CLONE_NEWUSER));
    if (!strcmp(what, "unshare-net")) return outcome(unshare(CLONE_NEWNET));
    if (!strcmp(what, "mknod")) return outcome(mknod("/tmp/mem", S_IFCHR | 0600, 0x101));
    if (!strcmp(what, "chroot")) return outcome(chroot("/tmp"));
    if (!strcmp(what, "setuid")) return outcome(setuid(atoi(at)));
    if (!strcmp(what, "keyctl")) return outcome(syscall(SYS_keyctl, 0, -4, 0));
    if (!strcmp(what, "bpf")) return outcome(syscall(SYS_bpf, 0, 0, 0));
    if (!strcmp(what, "perf")) return outcome(syscall(SYS_perf_event_open, 0, 0, 0, 0, 0));
    if (!strcmp(what, "io_uring")) return outcome(syscall(SYS_io_uring_setup, 1, 0));
    if (!strcmp(what, "clone3")) return outcome(syscall(SYS_clone3, 0, 0));
    if (!strcmp(what, "vsock")) return outcome(socket(AF_VSOCK, SOCK_STREAM, 0));
    if (!strcmp(what, "raw")) return outcome(socket(AF_INET, SOCK_RAW, 1));
    if (!strcmp(what, "setns")) return outcome(setns(open("/proc/self/ns/net", O_RDONLY), 0));
    if (!strcmp(what, "ptrace")) return outcome(ptrace(PTRACE_TRACEME, 0, 0, 0));
    if (!strcmp(what, "write")) return outcome(open(at, O_WRONLY | O_CREAT | O_APPEND, 0644));
    if (!strcmp(what, "read")) return outcome(open(at, O_RDONLY));
    if (!strcmp(what, "mkdir")) return outcome(mkdir(at, 0755));
    if (!strcmp(what, "fork")) {
        int forked = 0;
        for (; forked < 1000; forked++) {
            pid_t child = fork();
            if (child < 0) break;
            if (child == 0) {
                pause();
                _exit(0);
            }
        }
        const char *how = outcome(forked == 1000 ? 0 : -1);
        signal(SIGCHLD, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        kill(0, SIGTERM);
        signal(SIGTERM, end);
        return how;
    }
    if (!strcmp(what, "fill")) {
        static char block[1 << 20];
        int file = open(at, O_WRONLY | O_CREAT, 0600);
        long written = 0;
        for (int i = 0; i < 1024 && written >= 0; i++) written = write(file, block, sizeof block);
        const char *how = outcome(written);
        unlink(at);
        return how;
    }
    if (!strcmp(what, "connect")) {
        int port = 80;
        char host[64] = "";
        sscanf(at, "%63[^:]:%d", host, &port);
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
        inet_pton(AF_INET, host, &to.sin_addr);
        int s = socket(AF_INET, SOCK_STREAM, 0);
        struct timeval limit = {.tv_sec = 0, .tv_usec = 400000};
        setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        const char *how = outcome(connect(s, (struct sockaddr *)&to, sizeof to));
        close(s);
        return how;
    }
    return "unknown";
}

static void respond(char *path) {
    char *at = strchr(path, '?');
    if (at) *at++ = 0; else at = "";
    answer[0] = 0;
    if (!strncmp(path, "/try/", 5)) {
        snprintf(answer, sizeof answer, "%s", try(path + 5, at));
    } else if (!strcmp(path, "/read")) {
        int file = open(at, O_RDONLY);
        long length = file < 0 ? -1 : 0, part = 0;
        while (file >= 0 && (part = read(file, answer + length, sizeof answer - 1 - length)) > 0)
            length += part;
        if (length < 0) snprintf(answer, sizeof answer, "%s", strerrorname_np(errno));
        else answer[length] = 0;
        close(file);
    } else if (!strcmp(path, "/stat")) {
        struct stat s;
        if (lstat(at, &s) < 0) snprintf(answer, sizeof answer, "%s", strerrorname_np(errno));
        else snprintf(answer, sizeof answer, "%d:%d %o", s.st_uid, s.st_gid, s.st_mode);
    } else if (!strcmp(path, "/ids")) {
        gid_t groups[64];
        int count = getgroups(64, groups), length = sprintf(answer, "%d:%d", getuid(), getgid());
        for (int i = 0; i < count; i++) length += sprintf(answer + length, ",%d", groups[i]);
    } else if (!strcmp(path, "/env")) {
        for (char **e = environ; *e; e++) {
            strncat(answer, *e, sizeof answer - strlen(answer) - 2);
            strcat(answer, "\n");
        }
    } else if (!strcmp(path, "/append")) {
        int file = open(at, O_WRONLY | O_CREAT | O_APPEND, 0644);
        snprintf(answer, sizeof answer, "%s", outcome(write(file, "x", 1)));
        close(file);
    } else if (!strcmp(path, "/say")) {
        for (int i = 0; i < atoi(at); i++) puts("0123456789012345678901234567890123456789");
        fflush(stdout);
    } else if (!strcmp(path, "/exit")) {
        _exit(atoi(at));
    } else if (!strcmp(path, "/eat")) {
        for (;;) memset(malloc(1 << 20), 1, 1 << 20);
    } else {
        snprintf(answer, sizeof answer, "hello");
    }
}

static void serve(const char *host) {
    const char *port = getenv("PORT");
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port ? port : "8080"))};
    inet_pton(AF_INET, host, &at.sin_addr);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 128)) {
        perror("listen");
        exit(9);
    }
    for (;;) {
        int client = accept(listener, 0, 0);
        char head[8192], path[4096] = "/";
        long length = read(client, head, sizeof head - 1);
        if (length <= 0) {
            close(client);
            continue;
        }
        head[length] = 0;
        sscanf(head, "%*s %4095s", path);
        respond(path);
        dprintf(client, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n%s",
                strlen(answer), answer);
        close(client);
    }
}

int main(int count, char **args) {
    const char *mode = count > 1 ? args[1] : "serve";
    signal(SIGTERM, !strcmp(mode, "stubborn") ? SIG_IGN : end);
    signal(SIGINT, end);
    printf("started %s\n", mode);
    fflush(stdout);
    fprintf(stderr, "to standard error\n");
    if (!strcmp(mode, "crash")) return 3;
    if (!strcmp(mode, "deaf")) for (;;) pause();
    serve(!strcmp(mode, "loopback") ? "127.0.0.1" : "0.0.0.0");
}
