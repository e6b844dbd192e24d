# A host with one address that is refused and one that is not: what goes wrong at the other
# is told as what it is.
#
# The resolver is the system's, but for one name that a preloaded getaddrinfo() answers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use PostgreSQL::Test::Utils;
use Test::More;

my $shim = PostgreSQL::Test::Utils::tempdir('shim');
append_to_file("$shim/two.c", <<'END');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	int failed;

	if (node == NULL || strcmp(node, "two.test") != 0)
		return real(node, service, hints, result);
	failed = real("10.9.9.9", service, hints, result);
	return failed ? failed : real("127.0.0.1", service, hints, &(*result)->ai_next);
}
END
plan skip_all => 'there is no compiler'
  unless system("cc -shared -fPIC -o '$shim/two.so' '$shim/two.c' -ldl 2>'$shim/log'") == 0;

my $featul;
{
	local $ENV{LD_PRELOAD} = "$shim/two.so";
	$featul = Featul->new(connect => []);
}
$featul->set('max_attempts', 1);
$featul->set('connect_to',
	'two.example.com:443:two.test:' . $featul->port('server') . ',down.example.com:443:two.test:1');
$featul->set('request_timeout', '2s');
$featul->workspace('two', webhook => 'https://two.example.com/');
$featul->workspace('down', webhook => 'https://down.example.com/');
$featul->script({ 'two.example.com/' => [ { times => 1 }, { status => 500, times => 1 }, { rude => 'silence' } ] });

foreach my $n (1 .. 3)
{
	$featul->post(board_id => 'two-ideas');
	$featul->wait_until_settled;
}
$featul->post(board_id => 'down-ideas');
$featul->wait_until_settled;
is( $featul->sql(<<'END'), <<'END' =~ s/\n\z//r, 'the other address is reached, and judged by what it does');
SELECT concat_ws(': ', workspace_id, state, error) FROM featul_integrations.attempt ORDER BY at
END
two: delivered
two: failed: HTTP 500
two: failed: no complete response within 2 s
down: failed: could not connect
END

done_testing();
