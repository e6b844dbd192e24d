
# Random histories: what capture writes is what the contract says, by a model of its own
# (test/event_model.py).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../lib";
use Featul;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $steps = 1000;
my @seeds = (1, 2, int(rand(1_000_000)));    # the last one: another history each time

# run_history($featul, $dbname, @history): the events of each step, as the model writes them
sub run_history
{
	my ($featul, $dbname, @history) = @_;
	my $script = "\\pset format unaligned\n\\pset tuples_only on\nSELECT coalesce(max(id), 0) AS last FROM featul_integrations.event \\gset\n";
	my (@events, $step);

	foreach my $i (0 .. $#history)
	{
		$script .= <<END;
$history[$i][0];
\\echo step $i
SELECT id, name || coalesce(' ' || (payload ->> 'milestone'), '') || ' ' || post_id FROM featul_integrations.event WHERE id > :last ORDER BY id;
SELECT coalesce(max(id), 0) AS last FROM featul_integrations.event \\gset
END
	}
	my $output = $featul->node->safe_psql($dbname, $script, extra_params => ['-q']);
	foreach my $line (split /\n/, $output)
	{
		if ($line =~ /^step (\d+)$/) { $step = $1; $events[$step] = []; }
		elsif ($line =~ /^\d+\|(.*)$/) { push @{ $events[$step] }, $1; }
	}
	return @events;
}

my $featul = Featul->new(connect => [], conf => "featul_integrations.delivery = off\n");
foreach my $seed (@seeds)
{
	my $dbname = "history_$seed";
	my ($out, $err);
	IPC::Run::run([ 'python3', "$Featul::test_dir/event_model.py", $seed, $steps ], '>', \$out, '2>', \$err)
	  or die $err;
	my @history = map { decode_json($_) } split /\n/, $out;

	$featul->node->safe_psql('postgres', "CREATE DATABASE $dbname");
	$featul->set_up_database($dbname);
	$featul->node->safe_psql($dbname, <<'END');
ALTER TABLE board ALTER is_system DROP NOT NULL;
ALTER TABLE comment ALTER is_internal DROP NOT NULL;
INSERT INTO board (id, workspace_id, name, slug, is_system, created_by)
	VALUES ('system', 'acme', 'System', 'system', true, 'olivia'), ('other', 'acme', 'Other', 'other', NULL, 'olivia');
SET featul_integrations.user_id = 'olivia';
SELECT integration_connect('acme', 'webhook', 'https://hook.example.com/');
END
	my @events = run_history($featul, $dbname, @history);
	my $expected = 0;
	my @wrong;
	foreach my $i (0 .. $#history)
	{
		my $is = join ', ', sort @{ $events[$i] // [] };
		my $should = join ', ', @{ $history[$i][1] };
		$expected += @{ $history[$i][1] };
		push @wrong, "$history[$i][0]\n  is:     $is\n  should: $should" if $is ne $should;
	}
	cmp_ok($expected, '>', $steps / 10, "history $seed: $expected events in $steps steps");
	is(scalar(@wrong), 0, "history $seed: as the contract says") or diag(join "\n", @wrong[ 0 .. ($#wrong > 4 ? 4 : $#wrong) ]);
	is($featul->node->safe_psql($dbname, 'SELECT failed FROM featul_integrations.stat_capture'), 0, "history $seed: no failure");
}

done_testing();
