// SPDX-License-Identifier: GPL-2.0
/* statistics-client SOCKET TIMES: ask for statistics once a second, print the answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char request[] = "{\"req\":\"stats\",\"args\":{}}\n";

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int link = socket(AF_UNIX, SOCK_STREAM, 0);
	FILE *answers;
	int byte;

	if (argc != 3 || strlen(argv[1]) >= sizeof(address.sun_path))
		return 64;
	strcpy(address.sun_path, argv[1]);
	if (link < 0 || connect(link, (struct sockaddr *)&address, sizeof(address)))
		return 1;
	answers = fdopen(link, "r");
	for (int left = atoi(argv[2]); answers && left > 0; left--) {
		if (write(link, request, sizeof(request) - 1) != sizeof(request) - 1)
			return 1;
		do {
			byte = getc(answers);
			putchar(byte);
		} while (byte != EOF && byte != '\n');
		sleep(1);
	}
	return 0;
}
