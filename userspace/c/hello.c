/*
 * hello - an ordinary static Linux program: what the kernel needs to give for a C library to start, print and leave.
 */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	printf("hello from C, process %d, called %s", (int)getpid(), argv[0]);
	for (int i = 1; i < argc; i++)
		printf(" %s", argv[i]);
	putchar('\n');
	return 0;
}
