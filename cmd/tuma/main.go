// Command tuma is the whole service in one binary: dev runs everything on a
// laptop, serve runs it in production, the other subcommands are the
// operator's and the developer's tools. This package wires rooms together and
// refuses to know any rule of theirs; one file per subcommand.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"tuma/agents"
)

// commands is what `tuma --help` lists.
type commands struct {
	Dev       devCommand       `cmd:"" help:"Run everything on this machine: PostgreSQL, Redis, the service, the simulator."`
	Serve     serveCommand     `cmd:"" help:"Run the service in production."`
	Migrate   migrateCommand   `cmd:"" help:"Bring the database to this program's schema."`
	Audit     auditCommand     `cmd:"" help:"Prove the book; exit status 1 names every break."`
	Menu      menuCommand      `cmd:"" help:"Check, print or draw the USSD menu."`
	Play      playCommand      `cmd:"" help:"Run dialogue files against a running server."`
	Phone     phoneCommand     `cmd:"" help:"A phone in the terminal."`
	Bench     benchCommand     `cmd:"" help:"Measure the service on this machine."`
	Simulate  simulateCommand  `cmd:"" help:"A country in a box: people, faults, and the proof from outside."`
	Reconcile reconcileCommand `cmd:"" help:"Compare people's own accounts with the books."`
	Torture   tortureCommand   `cmd:"" help:"Break everything around the book and prove that it holds."`
	Rehearse  rehearseCommand  `cmd:"" help:"Practise what must not go wrong: a restore, a failover, an upgrade."`
	Attack    attackCommand    `cmd:"" help:"Attack an installation of its own and prove that it holds."`
	Agent     agentCommand     `cmd:"" help:"Create agents."`
	Till      tillCommand      `cmd:"" help:"Create tills."`
	Operator  operatorCommand  `cmd:"" help:"Put people at tills."`
	Office    officeCommand    `cmd:"" help:"Create head offices and put agents under them."`
	Staff     staffCommand     `cmd:"" help:"Create makers, checkers and customer care."`
	Float     floatCommand     `cmd:"" help:"Issue float: a maker requests, a checker approves."`
	Reversal  reversalCommand  `cmd:"" help:"Disputed deposits: decide whose the money is."`
	Customer  customerCommand  `cmd:"" help:"Customer care: PINs, numbers, freezes."`
	Brakes    brakesCommand    `cmd:"" help:"The rules against fraud and abuse, and what they have done."`
	Log       logCommand       `cmd:"" help:"Print who did what, and prove that no line was changed."`
	SMS       smsCommand       `cmd:"" name:"sms" help:"Notices that did not arrive: list them, send them again."`
}

func main() {
	tuneMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run is the program; tests call it, too.
func run(ctx context.Context, args []string) int {
	var c commands
	ctx = agents.Acting(ctx, "system", "command line") // for the log, where no name is asked for
	parser, err := kong.New(&c,
		kong.Name("tuma"),
		kong.Description("Mobile money for phones that cannot run apps."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "tuma:", err)
		return 2
	}
	k, err := parser.Parse(args)
	if err != nil {
		parser.Errorf("%s", err)
		return 2
	}
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tuma:", err)
		return 1
	}
	return 0
}
