package main

import (
	"fmt"
	"os"

	"tuma/ussd"
)

type menuCommand struct {
	Check   menuCheck   `cmd:"" help:"Check every screen in every language."`
	Print   menuPrint   `cmd:"" help:"Print the tree with its texts."`
	Mermaid menuMermaid `cmd:"" help:"Draw the tree as a Mermaid flowchart."`
	Doc     menuDoc     `cmd:"" hidden:"" help:"Print docs/menu.md."`
}

type menuCheck struct{}

// Run checks the menu.
func (menuCheck) Run() error {
	words, err := ussd.Words()
	if err != nil {
		return err
	}
	problems := ussd.Tree().Check(words)
	for _, p := range problems {
		fmt.Println(p)
	}
	if len(problems) > 0 {
		return fmt.Errorf("the menu has %d problems", len(problems))
	}
	fmt.Printf("%d screens in %d languages: all right\n", len(ussd.Tree().Screens), len(words.Languages()))
	return nil
}

type menuPrint struct {
	Lang string `default:"en" help:"en, sw or fr."`
}

// Run prints the menu.
func (c menuPrint) Run() error {
	words, err := ussd.Words()
	if err != nil {
		return err
	}
	return ussd.Tree().Print(os.Stdout, words, c.Lang)
}

type menuMermaid struct{}

// Run draws the menu.
func (menuMermaid) Run() error {
	words, err := ussd.Words()
	if err == nil {
		fmt.Print(ussd.Tree().Mermaid(words))
	}
	return err
}

type menuDoc struct{}

// Run prints the menu's document.
func (menuDoc) Run() error {
	words, err := ussd.Words()
	if err == nil {
		fmt.Print(ussd.Tree().Document(words))
	}
	return err
}
