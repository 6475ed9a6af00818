/*
 * refusals.c
 *	  Calls a statement over and over, as pgbench does, but goes on when it is refused.
 *
 * refusals CLIENTS SECONDS USERS STATEMENT: $1 of the statement is a random user; connects by the usual
 * environment variables.  Prints how many answers came per second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

static double
seconds(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return now.tv_sec + now.tv_usec / 1e6;
}

static long
run_client(double duration, int users, const char *statement)
{
	PGconn	   *conn = PQconnectdb("");
	double		end;
	long		answers = 0;

	if (PQstatus(conn) != CONNECTION_OK)
	{
		fprintf(stderr, "%s", PQerrorMessage(conn));
		exit(1);
	}
	PQclear(PQprepare(conn, "s", statement, 0, NULL));
	srandom(getpid());
	end = seconds() + duration;
	while (seconds() < end)
	{
		char		user[20];
		const char *values[1] = {user};

		snprintf(user, sizeof(user), "%ld", 1 + random() % users);
		PQclear(PQexecPrepared(conn, "s", 1, values, NULL, NULL, 0));
		answers++;
	}
	if (PQstatus(conn) != CONNECTION_OK)
		exit(1);
	PQfinish(conn);
	return answers;
}

int
main(int argc, char **argv)
{
	int			clients;
	double		duration;
	int			ends[2];
	long		sum = 0;

	if (argc != 5 || pipe(ends) != 0)
		return 1;
	clients = atoi(argv[1]);
	duration = atof(argv[2]);
	for (int i = 0; i < clients; i++)
		if (fork() == 0)
		{
			long		answers = run_client(duration, atoi(argv[3]), argv[4]);

			return write(ends[1], &answers, sizeof(answers)) != sizeof(answers);
		}
	for (int i = 0; i < clients; i++)
	{
		long		answers;
		int			status;

		wait(&status);
		if (status != 0 || read(ends[0], &answers, sizeof(answers)) != sizeof(answers))
			return 1;
		sum += answers;
	}
	printf("%.1f\n", sum / duration);
	return 0;
}
