/*
 * refusals.c
 *	  Calls a statement over and over, as pgbench does, but goes on when it is refused.
 *
 * refusals CLIENTS SECONDS USERS SQLSTATE STATEMENT [unprepared]: $1 of the statement is a random user; connects by the
 * usual environment variables.  Prints how many answers with that SQLSTATE came per second, and how many others in all.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

typedef struct Answers
{
	long		expected;
	long		others;
} Answers;

static bool
has_sqlstate(const PGresult *result, const char *expected)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return sqlstate != NULL && strcmp(sqlstate, expected) == 0;
}

static Answers
run_client(double duration, int users, const char *sqlstate, const char *statement, bool prepared)
{
	PGconn	   *conn = PQconnectdb("");
	double		end;
	Answers		answers = {0, 0};

	if (PQstatus(conn) != CONNECTION_OK)
	{
		fprintf(stderr, "%s", PQerrorMessage(conn));
		exit(1);
	}
	if (prepared)
		PQclear(PQprepare(conn, "s", statement, 0, NULL));
	srandom(getpid());
	end = seconds() + duration;
	while (seconds() < end)
	{
		char		user[20];
		const char *values[1] = {user};
		PGresult   *result;

		snprintf(user, sizeof(user), "%ld", 1 + random() % users);
		if (prepared)
			result = PQexecPrepared(conn, "s", 1, values, NULL, NULL, 0);
		else
			result = PQexecParams(conn, statement, 1, NULL, values, NULL, NULL, 0);
		if (has_sqlstate(result, sqlstate))
			answers.expected++;
		else
			answers.others++;
		PQclear(result);
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
	Answers		sum = {0, 0};

	if (argc < 6 || argc > 7 || pipe(ends) != 0)
		return 1;
	clients = atoi(argv[1]);
	duration = atof(argv[2]);
	for (int i = 0; i < clients; i++)
		if (fork() == 0)
		{
			Answers		answers = run_client(duration, atoi(argv[3]), argv[4], argv[5], argc == 6);

			return write(ends[1], &answers, sizeof(answers)) != sizeof(answers);
		}
	for (int i = 0; i < clients; i++)
	{
		Answers		answers;
		int			status;

		wait(&status);
		if (status != 0 || read(ends[0], &answers, sizeof(answers)) != sizeof(answers))
			return 1;
		sum.expected += answers.expected;
		sum.others += answers.others;
	}
	printf("%.1f %ld\n", sum.expected / duration, sum.others);
	return 0;
}
