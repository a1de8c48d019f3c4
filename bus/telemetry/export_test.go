package telemetry

// TerminalHandler is what a terminal gets, without the need for a terminal.
var TerminalHandler = terminalHandler
