/*
 * guard.c
 *		A bound from outside of libcurl on how long it may keep the process.
 *
 * A timer on the monotonic clock sends a real-time signal to this thread; the
 * handler calls shutdown(2), which POSIX allows there, and notes that it did.
 * What is static here is what a signal handler can reach.
 */
#include "postgres.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "network/guard.h"

/* How long the guard may be up before a socket is cut, and until the next one is (us). */
#ifndef FIRST_CUT /* test/memcheck, where all is slow, has another */
#define FIRST_CUT 1000000
#endif
#define NEXT_CUT 100000

/* not in glibc's headers before 2.38, but in the kernel's interface */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static timer_t				 guard_timer;
static int					 guard_signal = 0; /* 0: not set up yet */
static volatile Moment		 raised_at = 0;	   /* 0: it is down */
static volatile sig_atomic_t armed = false;
static volatile sig_atomic_t watched = -1;
static volatile sig_atomic_t cut_sockets[GUARD_MAX_CUTS];
static volatile sig_atomic_t n_cut = 0;

/* Sets the timer; allowed in a signal handler (POSIX). */
static void
arm(int64 microseconds)
{
	struct itimerspec times = { .it_value.tv_sec = microseconds / 1000000,
								.it_value.tv_nsec = microseconds % 1000000 * 1000 };

	armed = true;
	timer_settime(guard_timer, 0, &times, NULL);
}

/* Cuts the socket that is being worked on. */
static void
cut_watched(void)
{
	int fd = watched;

	if (fd < 0)
		return;
	(void) shutdown(fd, SHUT_RDWR);
	if (n_cut < GUARD_MAX_CUTS)
		cut_sockets[n_cut++] = fd;
	watched = -1;
}

/*
 * The signal's handler.  The timer is not set anew each time that the guard goes up
 * and down, thousands of times a second, but goes off once a second meanwhile.
 */
static void
on_guard_signal(int signal)
{
	int	   saved_errno = errno;
	Moment up = raised_at;

	armed = false;
	if (up != 0)
	{
		int64 left = up + FIRST_CUT - clock_now();

		if (left <= 0)
			cut_watched();
		arm(left <= 0 ? NEXT_CUT : left);
	}
	errno = saved_errno;
}

/* A real-time signal that nobody in this process has taken; 0 if there is none. */
static int
free_signal(void)
{
	for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++)
	{
		struct sigaction current;

		if (sigaction(signal, NULL, &current) == 0 && current.sa_handler == SIG_DFL)
			return signal;
	}
	return 0;
}

/* See guard.h. */
void
guard_init(void)
{
	struct sigaction action = { .sa_handler = on_guard_signal, .sa_flags = SA_RESTART };
	struct sigevent	 event = { .sigev_notify = SIGEV_THREAD_ID };
	int				 signal;

	if (guard_signal != 0)
		return;
	signal = free_signal();
	event.sigev_signo = signal;
	event.sigev_notify_thread_id = (pid_t) syscall(SYS_gettid);
	sigfillset(&action.sa_mask);
	if (signal == 0 || sigaction(signal, &action, NULL) != 0 ||
		timer_create(CLOCK_MONOTONIC, &event, &guard_timer) != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
						errmsg("could not set up a timer for HTTP requests: %m")));
	guard_signal = signal;
}

/* See guard.h. */
void
guard_leave_unblocked(sigset_t *signals)
{
	Assert(guard_signal != 0);
	sigdelset(signals, guard_signal);
}

/* See guard.h. */
void
guard_raise(void)
{
	n_cut = 0;
	raised_at = clock_now();
	if (!armed)
		arm(FIRST_CUT);
}

/* See guard.h. */
void
guard_watch(int fd)
{
	watched = fd;
}

/* See guard.h. */
void
guard_forget(int fd)
{
	if (watched == fd)
		watched = -1;
}

/* See guard.h. */
int
guard_lower(int cuts[GUARD_MAX_CUTS])
{
	int count;

	raised_at = 0;
	watched = -1;
	count = n_cut;
	for (int i = 0; i < count; i++)
		cuts[i] = cut_sockets[i];
	return count;
}
