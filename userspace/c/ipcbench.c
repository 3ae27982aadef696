/*
 * ipcbench - cost of IPC, scheduling and memory operations, one line each.
 *
 * A single static program for any kernel with the Linux arm64 system-call ABI.
 * It may be pid 1 or an ordinary process.  Each operation runs in a child
 * process of its own, so that a missing or faulty call costs one line only.
 *
 *   BENCH name iters=N batches=B ns/op=MED min=MIN max=MAX cnt=CNTVCT_MED [pmu=..] [note]
 *   SKIP  name errno=E (call)
 *   FAIL  name reason
 *   INFO  key value
 *   DONE  ok=.. skip=.. fail=..
 *
 * Under "qemu -icount shift=0" one executed instruction is one nanosecond of
 * virtual time, so ns/op is instructions/op as long as the CPU never idles in
 * a timed section.  INFO/BENCH calib_loop checks that on a loop of known length.
 *
 * Arguments (all optional, any order; as pid 1 they come after "--" on the
 * kernel command line):
 *   perf       also count INST_RETIRED (raw event 8) through perf_event_open
 *   nofork     do not isolate each operation in a child
 *   only=a,b   run only operations whose name starts with one of these
 *   list       list the operations
 *   scale=N    multiply iterations by N percent (default 100)
 *   stay       as pid 1, do not power off at the end
 *   --nop      exit at once (used by the exec operations)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* ------------------------------------------------------------------ */
/* system calls: result is -errno on failure, no libc in the way       */

#ifdef __aarch64__
static inline long sc(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory", "cc");
	return x0;
}
#else
static inline long sc(long n, long a, long b, long c, long d, long e, long f)
{
	long r = syscall(n, a, b, c, d, e, f);
	return r < 0 ? -errno : r;
}
#endif
#define SC0(n) sc(n, 0, 0, 0, 0, 0, 0)
#define SC1(n, a) sc(n, (long)(a), 0, 0, 0, 0, 0)
#define SC2(n, a, b) sc(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SC3(n, a, b, c) sc(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SC4(n, a, b, c, d) sc(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SC5(n, a, b, c, d, e) sc(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SC6(n, a, b, c, d, e, f) \
	sc(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static inline long rd(int fd, void *p, size_t n) { return SC3(SYS_read, fd, p, n); }
static inline long wr(int fd, const void *p, size_t n) { return SC3(SYS_write, fd, p, n); }

#ifndef FUTEX_WAIT
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#endif
static inline long futex_wait(volatile uint32_t *p, uint32_t v)
{
	return SC4(SYS_futex, p, FUTEX_WAIT, v, 0);
}
static inline long futex_wake(volatile uint32_t *p, int n)
{
	return SC3(SYS_futex, p, FUTEX_WAKE, n);
}
/* a plain fork: clone(SIGCHLD) without libc's at-fork work */
static inline long raw_fork(void)
{
#ifdef __aarch64__
	return SC5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#else
	return fork();
#endif
}

/* ------------------------------------------------------------------ */
/* counters                                                            */

static volatile int have_cntvct = 1;

static inline uint64_t cntvct(void)
{
#ifdef __aarch64__
	uint64_t v = 0;
	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "+r"(v)::"memory");
	return v;
#else
	return 0;
#endif
}
static inline uint64_t cntfrq(void)
{
#ifdef __aarch64__
	uint64_t v = 0;
	__asm__ volatile("mrs %0, cntfrq_el0" : "+r"(v));
	return v;
#else
	return 0;
#endif
}

static uint64_t boot_cntvct;

#ifdef __aarch64__
/* a kernel that does not let EL0 read the counter raises SIGILL: step over */
static void on_sigill(int s, siginfo_t *si, void *uc)
{
	(void)s;
	(void)si;
	((ucontext_t *)uc)->uc_mcontext.pc += 4;
	have_cntvct = 0;
}
static void early(void)
{
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_sigaction = on_sigill;
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGILL, &sa, NULL);
	boot_cntvct = cntvct();
}
__attribute__((section(".preinit_array"), used)) static void (*early_p)(void) = early;
#endif

static inline uint64_t mono_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int perf_fd = -1;
static inline uint64_t pmu_read(void)
{
	uint64_t v = 0;
	if (perf_fd >= 0)
		rd(perf_fd, &v, 8);
	return v;
}

struct acc {
	uint64_t ns, cnt, pmu; /* sums over the timed sections of one batch */
};
static struct acc acc;
static uint64_t t0_ns, t0_cnt, t0_pmu;

static void t_start(void)
{
	if (perf_fd >= 0)
		t0_pmu = pmu_read();
	t0_ns = mono_ns();
	if (have_cntvct)
		t0_cnt = cntvct();
}
static void t_stop(void)
{
	uint64_t c = have_cntvct ? cntvct() : 0;
	uint64_t n = mono_ns();
	if (perf_fd >= 0)
		acc.pmu += pmu_read() - t0_pmu;
	acc.ns += n - t0_ns;
	if (have_cntvct)
		acc.cnt += c - t0_cnt;
}

/* ------------------------------------------------------------------ */
/* output                                                              */

static int out_fd = 1;

static void out(const char *fmt, ...)
{
	char b[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(b, sizeof b, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof b - 1)
		n = sizeof b - 1;
	for (int o = 0; o < n;) {
		ssize_t w = write(out_fd, b + o, n - o);
		if (w <= 0)
			break;
		o += w;
	}
	tcdrain(out_fd); /* so that console work is not in a later timed section */
}

/* ------------------------------------------------------------------ */
/* state shared by an operation's processes                            */

struct shared {
	volatile uint32_t a __attribute__((aligned(64)));
	volatile uint32_t b __attribute__((aligned(64)));
	volatile uint32_t gen __attribute__((aligned(64)));
	volatile uint32_t done __attribute__((aligned(64)));
	volatile uint32_t sem __attribute__((aligned(64)));
	volatile uint32_t waiters __attribute__((aligned(64)));
	volatile uint64_t counter __attribute__((aligned(64)));
	volatile uint32_t last __attribute__((aligned(64)));
	volatile uint64_t alt __attribute__((aligned(64)));
	volatile uint64_t slow __attribute__((aligned(64)));
	volatile int32_t err __attribute__((aligned(64)));
	struct acc acc __attribute__((aligned(64)));
};
static struct shared *sh;

#define MAXPEER 40
static pid_t peers[MAXPEER];
static int npeers;
static int A[2], B[2]; /* two channels: A to the peer, B back */
static char buf[65536] __attribute__((aligned(4096)));
static const char *what = ""; /* the call that failed, for SKIP lines */
static char note[128];
static char self_path[256];
static int msgq[2] = {-1, -1}, semid = -1, shmid = -1;
static char paths[4][64];
static int npaths;
static char tmpdir[32] = "";

#define TRY(e)                                                                \
	do {                                                                  \
		long r_ = (e);                                                \
		if (r_ < 0) {                                                 \
			what = #e;                                            \
			return (int)r_;                                       \
		}                                                             \
	} while (0)

static int need_shared(void)
{
	if (!sh) {
		void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) {
			what = "mmap(MAP_SHARED|MAP_ANONYMOUS)";
			return -errno;
		}
		sh = p;
	}
	memset((void *)sh, 0, sizeof *sh);
	return 0;
}

static int start_peer(void (*fn)(long), long arg)
{
	if (npeers >= MAXPEER)
		return -EAGAIN;
	long p = raw_fork();
	if (p < 0) {
		what = "clone(SIGCHLD)";
		return (int)p;
	}
	if (p == 0) {
		npeers = 0;
		fn(arg);
		SC1(SYS_exit_group, 0);
	}
	peers[npeers++] = (pid_t)p;
	return 0;
}

static void stop_peers(void)
{
	for (int i = 0; i < npeers; i++)
		kill(peers[i], SIGKILL);
	for (int i = 0; i < npeers; i++)
		while (waitpid(peers[i], NULL, 0) < 0 && errno == EINTR)
			;
	npeers = 0;
}

static const char *new_path(const char *suffix)
{
	char *p = paths[npaths++ & 3];
	snprintf(p, 64, "%s/ipcb.%d.%s", tmpdir, (int)getpid(), suffix);
	unlink(p);
	return p;
}

static void cleanup(void)
{
	stop_peers();
	for (int i = 3; i < 128; i++)
		if (i != out_fd && i != perf_fd)
			close(i);
	for (int i = 0; i < 2; i++)
		if (msgq[i] >= 0) {
			SC3(SYS_msgctl, msgq[i], 0 /*IPC_RMID*/, 0);
			msgq[i] = -1;
		}
	if (semid >= 0)
		SC4(SYS_semctl, semid, 0, 0 /*IPC_RMID*/, 0);
	if (shmid >= 0)
		SC3(SYS_shmctl, shmid, 0, 0);
	semid = shmid = -1;
	for (int i = 0; i < npaths && i < 4; i++)
		unlink(paths[i]);
	npaths = 0;
}

/* ------------------------------------------------------------------ */
/* operations                                                          */

struct bench {
	const char *name;
	long iters;
	int (*setup)(const struct bench *);
	int (*run)(const struct bench *, long iters);
	long arg;
	long arg2;
};

/* --- calibration --- */
static int run_calib(const struct bench *b, long iters)
{
	(void)b;
	t_start();
#ifdef __aarch64__
	uint64_t n = (uint64_t)iters;
	/* 10 instructions an iteration */
	__asm__ volatile("1:\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\t"
			 "subs %0, %0, #1\n\tb.ne 1b"
			 : "+r"(n)
			 :
			 : "cc");
#else
	for (volatile long i = 0; i < iters; i++)
		;
#endif
	t_stop();
	return 0;
}
static int run_empty_section(const struct bench *b, long iters)
{
	(void)b;
	for (long i = 0; i < iters; i++) {
		t_start();
		t_stop();
	}
	return 0;
}

/* --- plain calls --- */
static int run_getppid(const struct bench *b, long iters)
{
	(void)b;
	TRY(SC0(SYS_getppid));
	t_start();
	for (long i = 0; i < iters; i++)
		SC0(SYS_getppid);
	t_stop();
	return 0;
}
static int run_badcall(const struct bench *b, long iters)
{
	(void)b;
	t_start();
	for (long i = 0; i < iters; i++)
		SC0(4000);
	t_stop();
	return 0;
}
static int run_clock_libc(const struct bench *b, long iters)
{
	(void)b;
	struct timespec ts;
	t_start();
	for (long i = 0; i < iters; i++)
		clock_gettime(CLOCK_MONOTONIC, &ts);
	t_stop();
	return 0;
}
static int run_clock_svc(const struct bench *b, long iters)
{
	(void)b;
	struct timespec ts;
	TRY(SC2(SYS_clock_gettime, CLOCK_MONOTONIC, &ts));
	t_start();
	for (long i = 0; i < iters; i++)
		SC2(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	t_stop();
	return 0;
}

static int open_dev(const char *path, int minor, int flags)
{
	int fd = open(path, flags);
	if (fd < 0) {
		int e = errno;
		mkdir("/dev", 0755);
		mknod(path, S_IFCHR | 0666, makedev(1, minor));
		fd = open(path, flags);
		if (fd < 0) {
			what = "open(/dev/...)";
			return -e;
		}
	}
	return fd;
}
static int setup_null(const struct bench *b)
{
	(void)b;
	int fd = open_dev("/dev/null", 3, O_RDWR);
	A[1] = fd;
	return fd < 0 ? fd : 0;
}
static int run_write1(const struct bench *b, long iters)
{
	int fd = A[1];
	TRY(wr(fd, buf, b->arg));
	t_start();
	for (long i = 0; i < iters; i++)
		wr(fd, buf, b->arg);
	t_stop();
	return 0;
}
static int setup_zero(const struct bench *b)
{
	(void)b;
	int fd = open_dev("/dev/zero", 5, O_RDONLY);
	A[0] = fd;
	return fd < 0 ? fd : 0;
}
static int run_read1(const struct bench *b, long iters)
{
	int fd = A[0];
	TRY(rd(fd, buf, b->arg));
	t_start();
	for (long i = 0; i < iters; i++)
		rd(fd, buf, b->arg);
	t_stop();
	return 0;
}

/* --- byte channels: pipe, FIFO, socketpair --- */
enum { CH_PIPE, CH_FIFO, CH_STREAM, CH_SEQ, CH_DGRAM, CH_EVENTFD };

static int open_channels(int kind)
{
	/* A[1] writes to the peer's A[0]; the peer's B[1] writes to B[0] */
	switch (kind) {
	case CH_PIPE:
		TRY(SC2(SYS_pipe2, A, 0));
		TRY(SC2(SYS_pipe2, B, 0));
		return 0;
	case CH_FIFO: {
		const char *p = new_path("fa"), *q = new_path("fb");
		TRY(SC4(SYS_mknodat, AT_FDCWD, p, S_IFIFO | 0600, 0));
		TRY(SC4(SYS_mknodat, AT_FDCWD, q, S_IFIFO | 0600, 0));
		/* O_RDWR first so that no open blocks, then proper ends */
		int ka = open(p, O_RDWR), kb = open(q, O_RDWR);
		A[0] = open(p, O_RDONLY);
		A[1] = open(p, O_WRONLY);
		B[0] = open(q, O_RDONLY);
		B[1] = open(q, O_WRONLY);
		if (ka < 0 || kb < 0 || A[0] < 0 || A[1] < 0 || B[0] < 0 || B[1] < 0) {
			what = "open(fifo)";
			return -errno;
		}
		close(ka);
		close(kb);
		return 0;
	}
	case CH_STREAM:
	case CH_SEQ:
	case CH_DGRAM: {
		int s[2];
		int t = kind == CH_STREAM ? SOCK_STREAM : kind == CH_SEQ ? SOCK_SEQPACKET : SOCK_DGRAM;
		TRY(SC4(SYS_socketpair, AF_UNIX, t, 0, s));
		A[1] = B[0] = s[0]; /* ours, both ways */
		A[0] = B[1] = s[1]; /* the peer's */
		return 0;
	}
	case CH_EVENTFD: {
		int x = SC2(SYS_eventfd2, 0, 0), y = SC2(SYS_eventfd2, 0, 0);
		TRY(x);
		TRY(y);
		A[0] = A[1] = x;
		B[0] = B[1] = y;
		return 0;
	}
	}
	return -EINVAL;
}

static long rd_full(int fd, char *p, long n)
{
	long got = 0;
	while (got < n) {
		long r = rd(fd, p + got, n - got);
		if (r <= 0)
			return r < 0 ? r : -EPIPE;
		got += r;
	}
	return got;
}

static void echo_peer(long n)
{
	for (;;) {
		if (rd_full(A[0], buf, n) < 0)
			return;
		if (wr(B[1], buf, n) < 0)
			return;
	}
}
static int setup_pp(const struct bench *b)
{
	TRY(open_channels(b->arg));
	memset(buf, 0, sizeof buf);
	if (b->arg == CH_EVENTFD)
		*(uint64_t *)buf = 1;
	return start_peer(echo_peer, b->arg2);
}
static int run_pp(const struct bench *b, long iters)
{
	long n = b->arg2;
	int w = A[1], r = B[0];
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(wr(w, buf, n));
		TRY(rd_full(r, buf, n));
	}
	t_stop();
	return 0;
}

static int setup_1p(const struct bench *b)
{
	TRY(open_channels(b->arg));
	memset(buf, 0, sizeof buf);
	if (b->arg == CH_EVENTFD)
		*(uint64_t *)buf = 1;
	return 0;
}
static int run_1p(const struct bench *b, long iters)
{
	long n = b->arg2;
	int w = A[1], r = A[0];
	TRY(wr(w, buf, n));
	TRY(rd(r, buf, n));
	t_start();
	for (long i = 0; i < iters; i++) {
		wr(w, buf, n);
		rd(r, buf, n);
	}
	t_stop();
	return 0;
}

/* ping-pong where each side waits with ppoll or epoll before it reads */
static int epA, epB;
static void poll_peer(long how)
{
	char c;
	struct pollfd p = {.fd = A[0], .events = POLLIN};
	struct epoll_event ev;
	for (;;) {
		long r = how ? SC6(SYS_epoll_pwait, epA, &ev, 1, -1, 0, 8) : SC5(SYS_ppoll, &p, 1, 0, 0, 8);
		if (r < 0 || rd(A[0], &c, 1) <= 0 || wr(B[1], &c, 1) < 0)
			return;
	}
}
static int setup_poll(const struct bench *b)
{
	TRY(open_channels(CH_PIPE));
	if (b->arg) {
		struct epoll_event ev = {.events = EPOLLIN};
		TRY(epA = SC1(SYS_epoll_create1, 0));
		TRY(epB = SC1(SYS_epoll_create1, 0));
		TRY(SC4(SYS_epoll_ctl, epA, EPOLL_CTL_ADD, A[0], &ev));
		TRY(SC4(SYS_epoll_ctl, epB, EPOLL_CTL_ADD, B[0], &ev));
	}
	return start_peer(poll_peer, b->arg);
}
static int run_poll(const struct bench *b, long iters)
{
	char c = 0;
	struct pollfd p = {.fd = B[0], .events = POLLIN};
	struct epoll_event ev;
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(wr(A[1], &c, 1));
		if (b->arg)
			TRY(SC6(SYS_epoll_pwait, epB, &ev, 1, -1, 0, 8));
		else
			TRY(SC5(SYS_ppoll, &p, 1, 0, 0, 8));
		TRY(rd(B[0], &c, 1));
	}
	t_stop();
	return 0;
}

/* bandwidth: chunks one way; the peer answers 1 byte after each batch */
static void bw_peer(long chunk)
{
	char c = 0;
	for (;;) {
		/* the batch's length in bytes comes first */
		uint64_t left;
		if (rd_full(A[0], (char *)&left, 8) < 0)
			return;
		while (left) {
			long r = rd(A[0], buf, left < (uint64_t)chunk ? (long)left : chunk);
			if (r <= 0)
				return;
			left -= r;
		}
		if (wr(B[1], &c, 1) < 0)
			return;
	}
}
static int setup_bw(const struct bench *b)
{
	TRY(open_channels(b->arg));
	return start_peer(bw_peer, b->arg2);
}
static int run_bw(const struct bench *b, long iters)
{
	uint64_t total = (uint64_t)iters * b->arg2;
	char c;
	t_start();
	TRY(wr(A[1], &total, 8));
	for (long i = 0; i < iters; i++) {
		long done = 0;
		while (done < b->arg2) {
			long w = wr(A[1], buf + done, b->arg2 - done);
			TRY(w);
			done += w;
		}
	}
	TRY(rd(B[0], &c, 1));
	t_stop();
	return 0;
}

static int run_pipe_create(const struct bench *b, long iters)
{
	(void)b;
	int f[2];
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(SC2(SYS_pipe2, f, 0));
		SC1(SYS_close, f[0]);
		SC1(SYS_close, f[1]);
	}
	t_stop();
	return 0;
}

static struct sockaddr_un sun_addr;
static int setup_connect(const struct bench *b)
{
	(void)b;
	memset(&sun_addr, 0, sizeof sun_addr);
	sun_addr.sun_family = AF_UNIX;
	strcpy(sun_addr.sun_path, new_path("sock"));
	TRY(A[0] = SC3(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
	TRY(SC3(SYS_bind, A[0], &sun_addr, sizeof sun_addr));
	TRY(SC2(SYS_listen, A[0], 16));
	return 0;
}
static int run_connect(const struct bench *b, long iters)
{
	(void)b;
	t_start();
	for (long i = 0; i < iters; i++) {
		long c, s;
		TRY(c = SC3(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
		TRY(SC3(SYS_connect, c, &sun_addr, sizeof sun_addr));
		TRY(s = SC4(SYS_accept4, A[0], 0, 0, 0));
		SC1(SYS_close, c);
		SC1(SYS_close, s);
	}
	t_stop();
	return 0;
}

static int setup_rights(const struct bench *b)
{
	(void)b;
	TRY(open_channels(CH_STREAM));
	int f[2];
	TRY(SC2(SYS_pipe2, f, 0));
	epA = f[0];
	return 0;
}
static int run_rights(const struct bench *b, long iters)
{
	(void)b;
	char c = 0;
	struct iovec iov = {&c, 1};
	union {
		char b[CMSG_SPACE(sizeof(int))];
		struct cmsghdr h;
	} u;
	t_start();
	for (long i = 0; i < iters; i++) {
		struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.b, .msg_controllen = sizeof u.b};
		u.h.cmsg_len = CMSG_LEN(sizeof(int));
		u.h.cmsg_level = SOL_SOCKET;
		u.h.cmsg_type = SCM_RIGHTS;
		*(int *)CMSG_DATA(&u.h) = epA;
		TRY(SC3(SYS_sendmsg, A[1], &m, 0));
		m.msg_control = u.b;
		m.msg_controllen = sizeof u.b;
		TRY(SC3(SYS_recvmsg, A[0], &m, 0));
		if (m.msg_controllen < CMSG_LEN(sizeof(int)) || u.h.cmsg_type != SCM_RIGHTS) {
			what = "SCM_RIGHTS not received";
			return -EPROTO;
		}
		SC1(SYS_close, *(int *)CMSG_DATA(&u.h));
	}
	t_stop();
	return 0;
}

/* --- System V message queues --- */
struct mbuf {
	long type;
	char text[1024];
};
static struct mbuf mb;
#define IPC_CREAT_ 01000
static int setup_msg(const struct bench *b)
{
	TRY(msgq[0] = SC2(SYS_msgget, 0, IPC_CREAT_ | 0600));
	TRY(msgq[1] = SC2(SYS_msgget, 0, IPC_CREAT_ | 0600));
	(void)b;
	mb.type = 1;
	return 0;
}
static void msg_peer(long n)
{
	for (;;) {
		if (SC5(SYS_msgrcv, msgq[0], &mb, n, 0, 0) < 0)
			return;
		if (SC4(SYS_msgsnd, msgq[1], &mb, n, 0) < 0)
			return;
	}
}
static int setup_msg_pp(const struct bench *b)
{
	TRY(setup_msg(b));
	return start_peer(msg_peer, b->arg);
}
static int run_msg_pp(const struct bench *b, long iters)
{
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(SC4(SYS_msgsnd, msgq[0], &mb, b->arg, 0));
		TRY(SC5(SYS_msgrcv, msgq[1], &mb, b->arg, 0, 0));
	}
	t_stop();
	return 0;
}
static int run_msg_1p(const struct bench *b, long iters)
{
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(SC4(SYS_msgsnd, msgq[0], &mb, b->arg, 0));
		TRY(SC5(SYS_msgrcv, msgq[0], &mb, b->arg, 0, 0));
	}
	t_stop();
	return 0;
}

/* --- POSIX message queues, by raw calls: no mount is needed --- */
struct mqattr { /* the kernel's struct mq_attr */
	long flags, maxmsg, msgsize, curmsgs, reserved[4];
};
static int mqd[2];
static int setup_mq(const struct bench *b)
{
	static const char *names[2] = {"ipcb_a", "ipcb_b"};
	for (int i = 0; i < 2; i++) {
		struct mqattr at = {.maxmsg = 8, .msgsize = b->arg};
		SC1(SYS_mq_unlink, names[i]);
		TRY(mqd[i] = SC4(SYS_mq_open, names[i], O_RDWR | O_CREAT, 0600, &at));
		SC1(SYS_mq_unlink, names[i]); /* the descriptor keeps it */
	}
	return 0;
}
static void mq_peer(long n)
{
	for (;;) {
		if (SC5(SYS_mq_timedreceive, mqd[0], buf, n, 0, 0) < 0)
			return;
		if (SC5(SYS_mq_timedsend, mqd[1], buf, n, 0, 0) < 0)
			return;
	}
}
static int setup_mq_pp(const struct bench *b)
{
	TRY(setup_mq(b));
	return start_peer(mq_peer, b->arg);
}
static int run_mq_pp(const struct bench *b, long iters)
{
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(SC5(SYS_mq_timedsend, mqd[0], buf, b->arg, 0, 0));
		TRY(SC5(SYS_mq_timedreceive, mqd[1], buf, b->arg, 0, 0));
	}
	t_stop();
	return 0;
}
static int run_mq_1p(const struct bench *b, long iters)
{
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(SC5(SYS_mq_timedsend, mqd[0], buf, b->arg, 0, 0));
		TRY(SC5(SYS_mq_timedreceive, mqd[0], buf, b->arg, 0, 0));
	}
	t_stop();
	return 0;
}

/* --- System V semaphores --- */
struct sop {
	unsigned short num;
	short op, flg;
};
static inline long semop1(int num, int op)
{
	struct sop s = {(unsigned short)num, (short)op, 0};
	return SC4(SYS_semtimedop, semid, &s, 1, 0);
}
static int setup_sem(const struct bench *b)
{
	(void)b;
	TRY(semid = SC3(SYS_semget, 0, 2, IPC_CREAT_ | 0600));
	TRY(SC4(SYS_semctl, semid, 0, 16 /*SETVAL*/, 0));
	TRY(SC4(SYS_semctl, semid, 1, 16 /*SETVAL*/, 0));
	return 0;
}
static void sem_peer(long n)
{
	(void)n;
	while (semop1(0, -1) >= 0 && semop1(1, 1) >= 0)
		;
}
static int setup_sem_pp(const struct bench *b)
{
	TRY(setup_sem(b));
	return start_peer(sem_peer, 0);
}
static int run_sem_pp(const struct bench *b, long iters)
{
	(void)b;
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(semop1(0, 1));
		TRY(semop1(1, -1));
	}
	t_stop();
	return 0;
}
static int run_sem_1p(const struct bench *b, long iters)
{
	(void)b;
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(semop1(0, 1));
		TRY(semop1(0, -1));
	}
	t_stop();
	return 0;
}

/* --- System V shared memory --- */
static int run_shm_cycle(const struct bench *b, long iters)
{
	(void)b;
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(shmid = SC3(SYS_shmget, 0, 4096, IPC_CREAT_ | 0600));
		long p = SC3(SYS_shmat, shmid, 0, 0);
		if (p < 0 && p > -4096) {
			what = "shmat";
			return (int)p;
		}
		*(volatile char *)p = 1;
		TRY(SC1(SYS_shmdt, p));
		TRY(SC3(SYS_shmctl, shmid, 0, 0));
		shmid = -1;
	}
	t_stop();
	return 0;
}

/* --- futex --- */
static int run_futex_wake_none(const struct bench *b, long iters)
{
	(void)b;
	TRY(need_shared());
	TRY(futex_wake(&sh->a, 1));
	t_start();
	for (long i = 0; i < iters; i++)
		futex_wake(&sh->a, 1);
	t_stop();
	return 0;
}
static inline void post(volatile uint32_t *p)
{
	__atomic_store_n(p, 1, __ATOMIC_RELEASE);
	futex_wake(p, 1);
}
static inline long take(volatile uint32_t *p)
{
	while (!__atomic_load_n(p, __ATOMIC_ACQUIRE)) {
		long r = futex_wait(p, 0);
		if (r < 0 && r != -EAGAIN && r != -EINTR)
			return r;
	}
	__atomic_store_n(p, 0, __ATOMIC_RELAXED);
	return 0;
}
static void futex_peer(long n)
{
	(void)n;
	while (take(&sh->a) == 0)
		post(&sh->b);
}
static int setup_futex_pp(const struct bench *b)
{
	(void)b;
	TRY(need_shared());
	TRY(futex_wake(&sh->a, 1));
	return start_peer(futex_peer, 0);
}
static int run_futex_pp(const struct bench *b, long iters)
{
	(void)b;
	t_start();
	for (long i = 0; i < iters; i++) {
		post(&sh->a);
		TRY(take(&sh->b));
	}
	t_stop();
	return 0;
}

/* --- channel: Halyard's call to a server and its reply, words in registers --- */
#define SYS_IPC_CALL 4096
enum { CHANNEL_CREATE = 0xc00, CHANNEL_CLIENT, CHANNEL_CALL, CHANNEL_RECEIVE,
       CHANNEL_REPLY, CHANNEL_REPLY_RECEIVE };

/* tag: how many words, in x9 and up. Their content does not matter here. */
static inline long channel(long cmd, long fd, long tag)
{
#ifdef __aarch64__
	register long x8 __asm__("x8") = SYS_IPC_CALL;
	register long x0 __asm__("x0") = cmd;
	register long x1 __asm__("x1") = fd;
	register long x2 __asm__("x2") = tag;
	register long x3 __asm__("x3") = -1;
	__asm__ volatile("svc #0"
			 : "+r"(x0), "+r"(x1), "+r"(x2)
			 : "r"(x8), "r"(x3)
			 : "memory", "cc", "x9", "x10", "x11", "x12", "x13",
			   "x14", "x15", "x16");
	return x0;
#else
	(void)cmd, (void)fd, (void)tag;
	return -ENOSYS;
#endif
}
static int channel_server = -1, channel_client = -1;
static void channel_peer(long n)
{
	long r = channel(CHANNEL_RECEIVE, channel_server, 0);
	while (r >= 0)
		r = channel(CHANNEL_REPLY_RECEIVE, channel_server, n);
}
static int setup_channel(const struct bench *b)
{
	if (channel_server >= 0) {
		close(channel_server);
		close(channel_client);
		channel_server = channel_client = -1;
	}
	TRY(channel_server = SC6(SYS_IPC_CALL, CHANNEL_CREATE, 0, 0, 0, 0, 0));
	TRY(channel_client = SC6(SYS_IPC_CALL, CHANNEL_CLIENT, channel_server, 7, 0, 0, 0));
	return start_peer(channel_peer, b->arg);
}
static int run_channel(const struct bench *b, long iters)
{
	long n = b->arg;
	TRY(channel(CHANNEL_CALL, channel_client, n));
	t_start();
	for (long i = 0; i < iters; i++)
		TRY(channel(CHANNEL_CALL, channel_client, n));
	t_stop();
	return 0;
}

/* two processes add to one counter under a futex semaphore */
static inline void sem_down(void)
{
	for (;;) {
		uint32_t v = __atomic_load_n(&sh->sem, __ATOMIC_RELAXED);
		while (v)
			if (__atomic_compare_exchange_n(&sh->sem, &v, v - 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return;
		__atomic_fetch_add(&sh->waiters, 1, __ATOMIC_SEQ_CST);
		futex_wait(&sh->sem, 0);
		__atomic_fetch_sub(&sh->waiters, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&sh->slow, 1, __ATOMIC_RELAXED);
	}
}
static inline void sem_up(void)
{
	__atomic_fetch_add(&sh->sem, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&sh->waiters, __ATOMIC_SEQ_CST))
		futex_wake(&sh->sem, 1);
}
static long shm_yield, shm_n;
static void wait_gen(uint32_t old)
{
	while (__atomic_load_n(&sh->gen, __ATOMIC_ACQUIRE) == old)
		futex_wait(&sh->gen, old);
}
static void add_done(uint32_t all)
{
	if (__atomic_add_fetch(&sh->done, 1, __ATOMIC_ACQ_REL) == all)
		futex_wake(&sh->done, 1);
}
static int release_and_wait(uint32_t all)
{
	__atomic_store_n(&sh->done, 0, __ATOMIC_RELEASE);
	__atomic_add_fetch(&sh->gen, 1, __ATOMIC_ACQ_REL);
	futex_wake(&sh->gen, INT_MAX);
	uint32_t d;
	while ((d = __atomic_load_n(&sh->done, __ATOMIC_ACQUIRE)) != all)
		futex_wait(&sh->done, d);
	return 0;
}
static void counter_peer(long n)
{
	uint32_t g = 0;
	(void)n;
	for (;; g++) {
		wait_gen(g);
		long k = (long)sh->a;
		for (long i = 0; i < k; i++) {
			sem_down();
			uint64_t v = sh->counter;
			if (shm_yield)
				SC0(SYS_sched_yield);
			sh->counter = v + 1;
			sem_up();
		}
		add_done(2);
	}
}
static int setup_counter(const struct bench *b)
{
	TRY(need_shared());
	TRY(futex_wake(&sh->a, 1));
	sh->sem = 1;
	shm_yield = b->arg;
	TRY(start_peer(counter_peer, 0));
	return start_peer(counter_peer, 1);
}
static int run_counter(const struct bench *b, long iters)
{
	(void)b;
	shm_n = iters / 2;
	sh->a = (uint32_t)shm_n;
	sh->counter = 0;
	sh->slow = 0;
	t_start();
	release_and_wait(2);
	t_stop();
	if (sh->counter != (uint64_t)shm_n * 2) {
		what = "counter is wrong: updates were lost";
		return -EPROTO;
	}
	snprintf(note, sizeof note, "count=%llu waits=%llu", (unsigned long long)sh->counter, (unsigned long long)sh->slow);
	return 0;
}

/* --- signals --- */
static volatile sig_atomic_t got;
static void on_usr1(int s)
{
	(void)s;
	got++;
}
static int setup_sig(const struct bench *b)
{
	(void)b;
	struct sigaction sa;
	memset(&sa, 0, sizeof sa);
	sa.sa_handler = on_usr1;
	if (sigaction(SIGUSR1, &sa, NULL) < 0) {
		what = "rt_sigaction";
		return -errno;
	}
	return 0;
}
static int run_sig_self(const struct bench *b, long iters)
{
	(void)b;
	pid_t me = getpid();
	got = 0;
	t_start();
	for (long i = 0; i < iters; i++)
		TRY(SC2(SYS_kill, me, SIGUSR1));
	t_stop();
	if (got != iters) {
		snprintf(note, sizeof note, "handled=%d of %ld", (int)got, iters);
		what = "signals were lost";
		return -EPROTO;
	}
	return 0;
}
static int run_sig_install(const struct bench *b, long iters)
{
	(void)b;
	struct {
		void *h;
		unsigned long fl;
		unsigned long mask;
	} ks = {(void *)on_usr1, 0, 0};
	TRY(SC4(SYS_rt_sigaction, SIGUSR2, &ks, 0, 8));
	t_start();
	for (long i = 0; i < iters; i++)
		SC4(SYS_rt_sigaction, SIGUSR2, &ks, 0, 8);
	t_stop();
	return 0;
}
static uint64_t usr1_bit = 1ull << (SIGUSR1 - 1);
static uint64_t no_sigs;
static inline long sig_wait_one(long how)
{
	if (how)
		return SC4(SYS_rt_sigtimedwait, &usr1_bit, 0, 0, 8);
	while (!got) {
		long r = SC2(SYS_rt_sigsuspend, &no_sigs, 8);
		if (r != -EINTR)
			return r < 0 ? r : -EPROTO;
	}
	got = 0;
	return 0;
}
static pid_t sig_parent;
static void sig_peer(long how)
{
	while (sig_wait_one(how) >= 0)
		if (SC2(SYS_kill, sig_parent, SIGUSR1) < 0)
			return;
}
static int setup_sig_pp(const struct bench *b)
{
	TRY(setup_sig(b));
	TRY(SC4(SYS_rt_sigprocmask, SIG_BLOCK, &usr1_bit, 0, 8));
	got = 0;
	sig_parent = getpid();
	return start_peer(sig_peer, b->arg);
}
static int run_sig_pp(const struct bench *b, long iters)
{
	pid_t p = peers[0];
	t_start();
	for (long i = 0; i < iters; i++) {
		TRY(SC2(SYS_kill, p, SIGUSR1));
		TRY(sig_wait_one(b->arg));
	}
	t_stop();
	return 0;
}

/* --- processes and threads --- */
static int run_fork(const struct bench *b, long iters)
{
	(void)b;
	t_start();
	for (long i = 0; i < iters; i++) {
		long p = raw_fork();
		if (p == 0)
			SC1(SYS_exit_group, 0);
		TRY(p);
		TRY(SC4(SYS_wait4, p, 0, 0, 0));
	}
	t_stop();
	return 0;
}
static char *exec_path;
static char *exec_argv[3];
static char *exec_env[1];
/* the smallest useful program: exit_group(0), without any libc */
static int write_tiny(const char *path)
{
#ifdef __aarch64__
	struct {
		unsigned char id[16];
		uint16_t type, machine;
		uint32_t version;
		uint64_t entry, phoff, shoff;
		uint32_t flags;
		uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
		uint32_t p_type, p_flags;
		uint64_t p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align;
		uint32_t code[4];
	} e;
	memset(&e, 0, sizeof e);
	memcpy(e.id, "\177ELF\2\1\1", 7);
	e.type = 2;
	e.machine = 183;
	e.version = 1;
	e.entry = 0x400000 + offsetof(__typeof__(e), code);
	e.phoff = offsetof(__typeof__(e), p_type);
	e.ehsize = 64;
	e.phentsize = 56;
	e.phnum = 1;
	e.p_type = 1;
	e.p_flags = 5;
	e.p_vaddr = e.p_paddr = 0x400000;
	e.p_filesz = e.p_memsz = sizeof e;
	e.p_align = 4096;
	e.code[0] = 0xd2800000;		       /* mov x0, #0 */
	e.code[1] = 0xd2800008 | (94u << 5);   /* mov x8, #94 exit_group */
	e.code[2] = 0xd4000001;		       /* svc #0 */
	e.code[3] = 0x14000000;		       /* b . */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	if (fd < 0)
		return -errno;
	long w = write(fd, &e, sizeof e);
	int er = errno;
	close(fd);
	return w == (long)sizeof e ? 0 : w < 0 ? -er : -EIO;
#else
	(void)path;
	return -ENOSYS;
#endif
}
static int setup_exec(const struct bench *b)
{
	if (b->arg2) {
		exec_path = (char *)new_path("tiny");
		TRY(write_tiny(exec_path));
	} else {
		if (!self_path[0]) {
			what = "no path of this program";
			return -ENOENT;
		}
		exec_path = self_path;
	}
	exec_argv[0] = exec_path;
	exec_argv[1] = "--nop";
	return 0;
}
static int run_exec(const struct bench *b, long iters)
{
	(void)b;
	int st;
	t_start();
	for (long i = 0; i < iters; i++) {
		long p = b->arg ? vfork() : raw_fork();
		if (p == 0) {
			SC3(SYS_execve, exec_path, exec_argv, exec_env);
			SC1(SYS_exit_group, 111);
		}
		TRY(p);
		st = -1;
		TRY(SC4(SYS_wait4, p, &st, 0, 0));
		if (st != 0) {
			what = "execve in child";
			return -ENOEXEC;
		}
	}
	t_stop();
	return 0;
}
static void *thr(void *p)
{
	return p;
}
static int run_thread(const struct bench *b, long iters)
{
	(void)b;
	pthread_t t;
	for (long i = -1; i < iters; i++) {
		if (i == 0)
			t_start(); /* the first one fills the stack cache */
		int r = pthread_create(&t, NULL, thr, NULL);
		if (r) {
			what = "pthread_create";
			return -r;
		}
		pthread_join(t, NULL);
	}
	t_stop();
	return 0;
}

/* --- scheduling --- */
static int run_yield_alone(const struct bench *b, long iters)
{
	(void)b;
	TRY(SC0(SYS_sched_yield));
	t_start();
	for (long i = 0; i < iters; i++)
		SC0(SYS_sched_yield);
	t_stop();
	return 0;
}
static inline void yield_step(uint32_t id)
{
	if (sh->last != id) {
		sh->last = id;
		sh->alt++;
	}
	SC0(SYS_sched_yield);
}
static void yield_peer(long n)
{
	(void)n;
	for (;;) {
		sh->slow++;
		yield_step(1);
	}
}
static int setup_yield(const struct bench *b)
{
	(void)b;
	TRY(need_shared());
	return start_peer(yield_peer, 0);
}
static int run_yield(const struct bench *b, long iters)
{
	/* one operation = one hand-over of the CPU, seen through shared memory */
	(void)b;
	uint64_t alt0, sl0;
	long yields = 0;
	SC0(SYS_sched_yield);
	alt0 = sh->alt;
	sl0 = sh->slow;
	t_start();
	while ((long)(sh->alt - alt0) < iters) {
		yield_step(0);
		if (++yields > iters * 20)
			break;
	}
	t_stop();
	if ((long)(sh->alt - alt0) < iters) {
		what = "sched_yield does not hand over";
		return -ENOTSUP;
	}
	snprintf(note, sizeof note, "yields/switch_x100=%llu",
		 (unsigned long long)((yields + (sh->slow - sl0)) * 100 / iters));
	return 0;
}

/* --- memory --- */
#define REGION_PAGES 512
static char *region(int thp)
{
	size_t len = (size_t)REGION_PAGES * 4096;
	/* an aligned address, so that huge pages are possible where allowed */
	char *p = mmap(NULL, len * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	char *q = (char *)(((uintptr_t)p + len - 1) & ~(uintptr_t)(len - 1));
	if (q > p)
		munmap(p, q - p);
	if (q + len < p + 2 * len)
		munmap(q + len, p + 2 * len - (q + len));
	if (!thp)
		madvise(q, len, MADV_NOHUGEPAGE); /* no matter if unknown */
	return q;
}
static int run_fault(const struct bench *b, long iters)
{
	for (long n = 0; n < iters; n += REGION_PAGES) {
		char *p = region(b->arg);
		if (!p) {
			what = "mmap";
			return -errno;
		}
		t_start();
		for (int i = 0; i < REGION_PAGES; i++)
			*(volatile char *)(p + (size_t)i * 4096) = 1;
		t_stop();
		munmap(p, (size_t)REGION_PAGES * 4096);
	}
	return 0;
}
static int run_unmap(const struct bench *b, long iters)
{
	(void)b;
	for (long n = 0; n < iters; n += REGION_PAGES) {
		char *p = region(0);
		if (!p) {
			what = "mmap";
			return -errno;
		}
		for (int i = 0; i < REGION_PAGES; i++)
			*(volatile char *)(p + (size_t)i * 4096) = 1;
		t_start();
		long r = SC2(SYS_munmap, p, (size_t)REGION_PAGES * 4096);
		t_stop();
		TRY(r);
	}
	return 0;
}
static int run_mmap(const struct bench *b, long iters)
{
	t_start();
	for (long i = 0; i < iters; i++) {
		long p = SC6(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p < 0 && p > -4096) {
			what = "mmap";
			return (int)p;
		}
		if (b->arg)
			*(volatile char *)p = 1;
		TRY(SC2(SYS_munmap, p, 4096));
	}
	t_stop();
	return 0;
}
static int setup_cow(const struct bench *b)
{
	(void)b;
	return need_shared();
}
static int run_cow(const struct bench *b, long iters)
{
	/* a child writes to pages it shares copy-on-write with its parent */
	for (long n = 0; n < iters; n += REGION_PAGES) {
		char *p = region(0);
		if (!p) {
			what = "mmap";
			return -errno;
		}
		for (int i = 0; i < REGION_PAGES; i++)
			*(volatile char *)(p + (size_t)i * 4096) = 1;
		long c = raw_fork();
		TRY(c);
		if (c == 0) {
			memset(&acc, 0, sizeof acc);
			t_start();
			t_stop(); /* unshares this program's own data and stack first */
			memset(&acc, 0, sizeof acc);
			t_start();
			for (int i = 0; i < REGION_PAGES; i++)
				*(volatile char *)(p + (size_t)i * 4096) = 2;
			t_stop();
			sh->acc = acc;
			SC1(SYS_exit_group, 0);
		}
		TRY(SC4(SYS_wait4, c, 0, 0, 0));
		for (int i = 0; i < REGION_PAGES; i++)
			if (p[(size_t)i * 4096] != 1) {
				what = "the parent sees the child's write";
				return -EPROTO;
			}
		acc.ns += sh->acc.ns;
		acc.cnt += sh->acc.cnt;
		acc.pmu += sh->acc.pmu;
		munmap(p, (size_t)REGION_PAGES * 4096);
	}
	(void)b;
	return 0;
}
static int run_forkbig(const struct bench *b, long iters)
{
	/* fork+exit+wait with 2 MiB of touched pages mapped */
	(void)b;
	char *p = region(0);
	if (!p) {
		what = "mmap";
		return -errno;
	}
	for (int i = 0; i < REGION_PAGES; i++)
		*(volatile char *)(p + (size_t)i * 4096) = 1;
	int r = run_fork(b, iters);
	munmap(p, (size_t)REGION_PAGES * 4096);
	return r;
}

/* --- many to many: 8 senders x 8 receivers, 100-byte messages --- */
#define HB_N 8
#define HB_MSG 100
static int hb_fd[HB_N][2];
static void hb_sender(long id)
{
	(void)id;
	for (uint32_t g = 0;; g++) {
		wait_gen(g);
		long loops = (long)sh->a;
		for (long l = 0; l < loops; l++)
			for (int r = 0; r < HB_N; r++) {
				long done = 0;
				while (done < HB_MSG) {
					long w = wr(hb_fd[r][1], buf + done, HB_MSG - done);
					if (w < 0) {
						sh->err = (int32_t)w;
						break;
					}
					done += w;
				}
			}
		add_done(2 * HB_N);
	}
}
static void hb_receiver(long id)
{
	for (uint32_t g = 0;; g++) {
		wait_gen(g);
		long left = (long)sh->a * HB_N;
		while (left-- > 0) {
			long r = rd_full(hb_fd[id][0], buf, HB_MSG);
			if (r < 0) {
				sh->err = (int32_t)r;
				break;
			}
		}
		add_done(2 * HB_N);
	}
}
static int setup_hb(const struct bench *b)
{
	TRY(need_shared());
	TRY(futex_wake(&sh->a, 1));
	for (int i = 0; i < HB_N; i++) {
		TRY(open_channels(b->arg));
		hb_fd[i][0] = A[0];
		hb_fd[i][1] = A[1];
		if (b->arg == CH_PIPE) {
			close(B[0]);
			close(B[1]);
		}
	}
	for (int i = 0; i < HB_N; i++)
		TRY(start_peer(hb_receiver, i));
	for (int i = 0; i < HB_N; i++)
		TRY(start_peer(hb_sender, i));
	return 0;
}
static int run_hb(const struct bench *b, long iters)
{
	(void)b;
	sh->a = (uint32_t)(iters / (HB_N * HB_N));
	t_start();
	release_and_wait(2 * HB_N);
	t_stop();
	if (sh->err) {
		what = "read/write in a peer";
		return sh->err;
	}
	return 0;
}

/* --- fan-out: one process hands 1-byte jobs to 4 workers, each job = 20k instructions --- */
static inline void burn(uint64_t n)
{
#ifdef __aarch64__
	__asm__ volatile("1:\n\tsubs %0, %0, #1\n\tb.ne 1b" : "+r"(n)::"cc");
#else
	for (volatile uint64_t i = 0; i < n; i++)
		;
#endif
}
static void fan_worker(long work)
{
	char c;
	while (rd(A[0], &c, 1) == 1) {
		if (work)
			burn((uint64_t)work / 2);
		if (wr(B[1], &c, 1) < 0)
			return;
	}
}
static int setup_fan(const struct bench *b)
{
	TRY(open_channels(CH_PIPE));
	for (int i = 0; i < b->arg2; i++)
		TRY(start_peer(fan_worker, b->arg));
	return 0;
}
static int run_fan(const struct bench *b, long iters)
{
	char c[16] = {0};
	long sent = 0, recvd = 0, window = 16;
	(void)b;
	t_start();
	while (recvd < iters) {
		long room = window - (sent - recvd);
		if (room > iters - sent)
			room = iters - sent;
		if (room > 0) {
			TRY(wr(A[1], c, room));
			sent += room;
		}
		long r = rd(B[0], c, sizeof c);
		TRY(r);
		recvd += r;
	}
	t_stop();
	return 0;
}

/* ------------------------------------------------------------------ */

#define KB 1024
static const struct bench table[] = {
	{"calib_loop10", 1000000, 0, run_calib, 0, 0},
	{"timer_section", 2500, 0, run_empty_section, 0, 0},
	{"clock_gettime_libc", 10000, 0, run_clock_libc, 0, 0},
	{"clock_gettime_svc", 5000, 0, run_clock_svc, 0, 0},
	{"null_getppid", 10000, 0, run_getppid, 0, 0},
	{"null_enosys", 10000, 0, run_badcall, 0, 0},
	{"write_devnull_1B", 5000, setup_null, run_write1, 1, 0},
	{"read_devzero_1B", 5000, setup_zero, run_read1, 1, 0},

	{"pipe_1proc_1B", 1500, setup_1p, run_1p, CH_PIPE, 1},
	{"pipe_1proc_4KiB", 1500, setup_1p, run_1p, CH_PIPE, 4 * KB},
	{"pipe_create_close", 500, 0, run_pipe_create, 0, 0},
	{"pipe_pingpong_1B", 500, setup_pp, run_pp, CH_PIPE, 1},
	{"pipe_pingpong_512B", 500, setup_pp, run_pp, CH_PIPE, 512},
	{"pipe_pingpong_4KiB", 500, setup_pp, run_pp, CH_PIPE, 4 * KB},
	{"pipe_bw_64KiB", 100, setup_bw, run_bw, CH_PIPE, 64 * KB},
	{"fifo_pingpong_1B", 500, setup_pp, run_pp, CH_FIFO, 1},

	{"unix_stream_1proc_1B", 1000, setup_1p, run_1p, CH_STREAM, 1},
	{"unix_stream_pingpong_1B", 500, setup_pp, run_pp, CH_STREAM, 1},
	{"unix_stream_pingpong_4KiB", 500, setup_pp, run_pp, CH_STREAM, 4 * KB},
	{"unix_stream_bw_64KiB", 100, setup_bw, run_bw, CH_STREAM, 64 * KB},
	{"unix_seqpacket_pingpong_1B", 500, setup_pp, run_pp, CH_SEQ, 1},
	{"unix_dgram_pingpong_1B", 500, setup_pp, run_pp, CH_DGRAM, 1},
	{"unix_connect_accept_close", 150, setup_connect, run_connect, 0, 0},
	{"unix_scm_rights", 500, setup_rights, run_rights, 0, 0},

	{"sysv_msg_1proc_1B", 1000, setup_msg, run_msg_1p, 1, 0},
	{"sysv_msg_pingpong_1B", 500, setup_msg_pp, run_msg_pp, 1, 0},
	{"sysv_msg_pingpong_256B", 500, setup_msg_pp, run_msg_pp, 256, 0},
	{"posix_mq_1proc_64B", 1000, setup_mq, run_mq_1p, 64, 0},
	{"posix_mq_pingpong_64B", 500, setup_mq_pp, run_mq_pp, 64, 0},
	{"sysv_sem_1proc", 1500, setup_sem, run_sem_1p, 0, 0},
	{"sysv_sem_pingpong", 500, setup_sem_pp, run_sem_pp, 0, 0},
	{"sysv_shm_get_at_dt_rm", 150, 0, run_shm_cycle, 0, 0},

	{"futex_wake_none", 5000, 0, run_futex_wake_none, 0, 0},
	{"channel_call_reply_0w", 1500, setup_channel, run_channel, 0, 0},
	{"channel_call_reply_8w", 1500, setup_channel, run_channel, 8, 0},
	{"futex_pingpong", 500, setup_futex_pp, run_futex_pp, 0, 0},
	{"eventfd_1proc", 2500, setup_1p, run_1p, CH_EVENTFD, 8},
	{"eventfd_pingpong", 500, setup_pp, run_pp, CH_EVENTFD, 8},
	{"ppoll_pipe_pingpong_1B", 500, setup_poll, run_poll, 0, 0},
	{"epoll_pipe_pingpong_1B", 500, setup_poll, run_poll, 1, 0},

	{"shm_counter_futexsem", 10000, setup_counter, run_counter, 0, 0},
	{"shm_counter_futexsem_yield", 1000, setup_counter, run_counter, 1, 0},

	{"signal_install", 5000, 0, run_sig_install, 0, 0},
	{"signal_self_handler", 1000, setup_sig, run_sig_self, 0, 0},
	{"signal_pingpong_sigsuspend", 500, setup_sig_pp, run_sig_pp, 0, 0},
	{"signal_pingpong_sigwait", 500, setup_sig_pp, run_sig_pp, 1, 0},

	{"fork_exit_wait", 30, 0, run_fork, 0, 0},
	{"fork_exit_wait_2MiB", 15, 0, run_forkbig, 0, 0},
	{"fork_exec_tiny_wait", 15, setup_exec, run_exec, 0, 1},
	{"fork_exec_self_wait", 15, setup_exec, run_exec, 0, 0},
	{"vfork_exec_tiny_wait", 15, setup_exec, run_exec, 1, 1},
	{"vfork_exec_self_wait", 15, setup_exec, run_exec, 1, 0},
	{"thread_create_join", 100, 0, run_thread, 0, 0},

	{"sched_yield_alone", 2500, 0, run_yield_alone, 0, 0},
	{"sched_yield_switch", 1500, setup_yield, run_yield, 0, 0},

	{"page_fault_anon_4K", 2 * REGION_PAGES, 0, run_fault, 0, 0},
	{"page_fault_anon_default", 2 * REGION_PAGES, 0, run_fault, 1, 0},
	{"munmap_touched_page", 2 * REGION_PAGES, 0, run_unmap, 0, 0},
	{"mmap_munmap_1page", 500, 0, run_mmap, 0, 0},
	{"mmap_touch_munmap_1page", 500, 0, run_mmap, 1, 0},
	{"cow_fault_page", 2 * REGION_PAGES, setup_cow, run_cow, 0, 0},

	{"hackbench_8x8_socket_100B", 64 * 20, setup_hb, run_hb, CH_STREAM, 0},
	{"hackbench_8x8_pipe_100B", 64 * 20, setup_hb, run_hb, CH_PIPE, 0},
	{"fanout_4workers_empty", 500, setup_fan, run_fan, 0, 4},
	{"fanout_4workers_20k", 100, setup_fan, run_fan, 20000, 4},
};
#define NBENCH ((int)(sizeof table / sizeof table[0]))
#define BATCHES 5

static int scale = 100;

static int cmp64(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
	return a < b ? -1 : a > b;
}

/* result x 10 of v/n, rounded */
static unsigned long long per10(uint64_t v, long n)
{
	return (v * 10 + (uint64_t)n / 2) / (uint64_t)n;
}

/* 0 done, 1 skipped, 2 failed */
static int run_one(const struct bench *b)
{
	long iters = b->iters * scale / 100;
	if (iters < 1)
		iters = 1;
	/* whole numbers of the operation's own unit */
	if (b->run == run_hb)
		iters = (iters + 63) / 64 * 64;
	if (b->run == run_fault || b->run == run_unmap || b->run == run_cow)
		iters = (iters + REGION_PAGES - 1) / REGION_PAGES * REGION_PAGES;
	if (b->run == run_counter)
		iters &= ~1l;
	uint64_t ns[BATCHES], pmu[BATCHES], cnt[BATCHES];
	what = "";
	note[0] = 0;
	int r = b->setup ? b->setup(b) : 0;
	for (int k = -1; r == 0 && k < BATCHES; k++) { /* batch -1 warms up */
		memset(&acc, 0, sizeof acc);
		r = b->run(b, iters);
		if (k >= 0) {
			ns[k] = acc.ns;
			cnt[k] = acc.cnt;
			pmu[k] = acc.pmu;
		}
	}
	cleanup();
	if (r < 0) {
		if (r == -EPROTO || r == -EPIPE) {
			out("FAIL %s errno=%d (%s) %s\n", b->name, -r, what, note);
			return 2;
		}
		out("SKIP %s errno=%d (%s: %s)\n", b->name, -r, strerror(-r), what);
		return 1;
	}
	qsort(ns, BATCHES, sizeof ns[0], cmp64);
	qsort(cnt, BATCHES, sizeof cnt[0], cmp64);
	qsort(pmu, BATCHES, sizeof pmu[0], cmp64);
	unsigned long long med = per10(ns[BATCHES / 2], iters), mn = per10(ns[0], iters), mx = per10(ns[BATCHES - 1], iters);
	char c[48] = "", p[64] = "", extra[96] = "";
	uint64_t fq = cntfrq();
	if (have_cntvct && fq) {
		/* ticks to ns without overflow: counts here are far below 2^40 */
		uint64_t cns = (uint64_t)((unsigned __int128)cnt[BATCHES / 2] * 1000000000u / fq);
		unsigned long long v = per10(cns, iters);
		snprintf(c, sizeof c, " cnt=%llu.%llu", v / 10, v % 10);
	}
	if (perf_fd >= 0) {
		unsigned long long v = per10(pmu[BATCHES / 2], iters), v0 = per10(pmu[0], iters);
		snprintf(p, sizeof p, " pmu=%llu.%llu pmu_min=%llu.%llu", v / 10, v % 10, v0 / 10, v0 % 10);
	}
	if (b->run == run_bw && ns[BATCHES / 2]) {
		/* MB (10^6) per million ns, x1000 */
		unsigned long long m = (uint64_t)iters * b->arg2 * 1000 / ns[BATCHES / 2];
		snprintf(extra, sizeof extra, " MB/Mns=%llu.%03llu", m / 1000, m % 1000);
	}
	out("BENCH %s iters=%ld batches=%d ns/op=%llu.%llu min=%llu.%llu max=%llu.%llu%s%s%s%s%s\n", b->name, iters,
	    BATCHES, med / 10, med % 10, mn / 10, mn % 10, mx / 10, mx % 10, c, p, extra, note[0] ? " " : "", note);
	return 0;
}

static long perf_open(void)
{
#ifdef SYS_perf_event_open
	struct {
		uint32_t type, size;
		uint64_t config, period, sample_type, read_format, flags, pad[10];
	} at;
	memset(&at, 0, sizeof at);
	at.type = 4; /* PERF_TYPE_RAW */
	at.size = 64;
	at.config = 8; /* INST_RETIRED */
	at.flags = 1u << 2; /* pinned */
	long fd = SC5(SYS_perf_event_open, &at, -1, 0, -1, 0);
	if (fd < 0)
		return fd;
	long hi = SC3(SYS_fcntl, fd, F_DUPFD, 200);
	if (hi < 0)
		return hi;
	close((int)fd);
	perf_fd = (int)hi;
	return 0;
#else
	return -ENOSYS;
#endif
}

static void show_file(const char *path, const char *const *keys)
{
	char b[4096];
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return;
	long n = read(fd, b, sizeof b - 1);
	close(fd);
	if (n <= 0)
		return;
	b[n] = 0;
	for (char *l = strtok(b, "\n"); l; l = strtok(NULL, "\n"))
		for (int i = 0; keys[i]; i++)
			if (!strncmp(l, keys[i], strlen(keys[i])))
				out("INFO %s %s\n", path, l);
}

int main(int argc, char **argv)
{
	const char *only = NULL;
	int isolate = 1, use_perf = 0, stay = 0;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--nop"))
			_exit(0);
		else if (!strcmp(argv[i], "perf"))
			use_perf = 1;
		else if (!strcmp(argv[i], "nofork"))
			isolate = 0;
		else if (!strcmp(argv[i], "stay"))
			stay = 1;
		else if (!strncmp(argv[i], "only=", 5))
			only = argv[i] + 5;
		else if (!strncmp(argv[i], "scale=", 6))
			scale = atoi(argv[i] + 6);
		else if (!strcmp(argv[i], "list")) {
			for (int k = 0; k < NBENCH; k++)
				out("%s\n", table[k].name);
			return 0;
		}
	}
	int pid = getpid();

	/* an operation runs in a group of its own, and may print from there */
	signal(SIGTTOU, SIG_IGN);

	/* somewhere to print: pid 1 may start without descriptors */
	if (fcntl(1, F_GETFD) < 0) {
		mkdir("/dev", 0755);
		mknod("/dev/console", S_IFCHR | 0600, makedev(5, 1));
		int fd = open("/dev/console", O_RDWR);
		for (int k = 0; fd >= 0 && k < 3; k++)
			dup2(fd, k);
	}

	const char *xf = (const char *)getauxval(AT_EXECFN);
	if (!xf || !*xf)
		xf = argc > 0 && argv[0] ? argv[0] : "";
	snprintf(self_path, sizeof self_path, "%s", xf);
	if (access(self_path, R_OK) < 0 && access("/proc/self/exe", R_OK) == 0)
		strcpy(self_path, "/proc/self/exe");

	/* a directory for FIFOs, sockets and the tiny program */
	static const char *dirs[] = {"", "/tmp", "/dev/shm", "."};
	for (int i = 0; i < 4; i++) {
		char t[64];
		snprintf(t, sizeof t, "%s/ipcb.test", dirs[i]);
		int fd = open(t, O_CREAT | O_RDWR, 0600);
		if (fd >= 0) {
			close(fd);
			unlink(t);
			strcpy(tmpdir, dirs[i]);
			break;
		}
	}

	uint64_t fq = cntfrq();
	out("\nINFO ipcbench pid=%d self=%s tmpdir='%s/' cntfrq=%llu cntvct=%s\n", pid, self_path, tmpdir,
	    (unsigned long long)fq, have_cntvct ? "yes" : "no");
	if (have_cntvct && fq)
		out("INFO boot_ns_at_init %llu\n",
		    (unsigned long long)((unsigned __int128)boot_cntvct * 1000000000u / fq));
	struct sysinfo si;
	if (sysinfo(&si) == 0)
		out("INFO sysinfo total_kib=%llu free_kib=%llu used_kib=%llu procs=%d\n",
		    (unsigned long long)si.totalram * si.mem_unit / 1024, (unsigned long long)si.freeram * si.mem_unit / 1024,
		    (unsigned long long)(si.totalram - si.freeram) * si.mem_unit / 1024, (int)si.procs);
	if (pid == 1 && access("/proc/meminfo", R_OK) < 0) {
		mkdir("/proc", 0555);
		if (mount("proc", "/proc", "proc", 0, NULL) < 0)
			out("INFO mount_proc errno=%d\n", errno);
	}
	static const char *const mk[] = {"MemTotal", "MemFree", "MemAvailable", "Slab", "KernelStack", "PageTables", NULL};
	static const char *const sk[] = {"cpu ", "intr", "ctxt", NULL};
	static const char *const vk[] = {"Linux", NULL};
	static const char *const ck[] = {"", NULL};
	show_file("/proc/version", vk);
	show_file("/proc/cmdline", ck);
	show_file("/proc/uptime", ck);
	show_file("/proc/meminfo", mk);
	if (use_perf) {
		long r = perf_open();
		out("INFO perf_event_open %s (%ld)\n", r < 0 ? "failed" : "ok", r);
	}

	/* let boot-time work finish; costs nothing under icount,sleep=off */
	struct timespec settle = {2, 0};
	nanosleep(&settle, NULL);

	int ok = 0, skip = 0, fail = 0;
	for (int k = 0; k < NBENCH; k++) {
		const struct bench *b = &table[k];
		if (only) {
			int hit = 0;
			for (const char *p = only; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
				size_t l = strcspn(p, ",");
				if (l && !strncmp(b->name, p, l))
					hit = 1;
			}
			if (!hit)
				continue;
		}
		int r;
		if (!isolate) {
			r = run_one(b);
		} else {
			pid_t c = fork();
			if (c < 0) {
				out("INFO fork errno=%d: running in this process\n", errno);
				isolate = 0;
				k--;
				continue;
			}
			if (c == 0) {
				setpgid(0, 0);
				alarm(20);
				_exit(run_one(b));
			}
			int st = 0;
			while (waitpid(c, &st, 0) < 0 && errno == EINTR)
				;
			kill(-c, SIGKILL); /* what a crashed operation left behind */
			while (pid == 1 && waitpid(-1, NULL, WNOHANG) > 0)
				;
			if (WIFSIGNALED(st)) {
				r = 2;
				out("FAIL %s signal=%d%s\n", b->name, WTERMSIG(st), WTERMSIG(st) == SIGALRM ? " (timeout)" : "");
			} else
				r = WEXITSTATUS(st);
		}
		if (r == 0)
			ok++;
		else if (r == 1)
			skip++;
		else
			fail++;
	}
	show_file("/proc/stat", sk);
	show_file("/proc/uptime", ck);
	out("DONE ok=%d skip=%d fail=%d end_ns=%llu\n", ok, skip, fail, (unsigned long long)mono_ns());
	if (pid == 1 && !stay) {
		sync();
		reboot(RB_POWER_OFF);
		for (;;)
			pause();
	}
	return fail ? 1 : 0;
}
