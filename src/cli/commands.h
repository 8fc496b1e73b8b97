/* The commands, each in its file; main.c lists them in the order of --help. */
#ifndef ECL_CLI_COMMANDS_H
#define ECL_CLI_COMMANDS_H

#include "cli/cli.h"

extern const ecl_command_t ecl_cmd_init;
extern const ecl_command_t ecl_cmd_new;
extern const ecl_command_t ecl_cmd_lint;
extern const ecl_command_t ecl_cmd_test;
extern const ecl_command_t ecl_cmd_eval;
extern const ecl_command_t ecl_cmd_match;
extern const ecl_command_t ecl_cmd_status;
extern const ecl_command_t ecl_cmd_plan;
extern const ecl_command_t ecl_cmd_up;
extern const ecl_command_t ecl_cmd_down;
extern const ecl_command_t ecl_cmd_backfill;
extern const ecl_command_t ecl_cmd_verify;
extern const ecl_command_t ecl_cmd_quarantine;
extern const ecl_command_t ecl_cmd_complete;
extern const ecl_command_t ecl_cmd_lock;
extern const ecl_command_t ecl_cmd_unlock;
extern const ecl_command_t ecl_cmd_query;
extern const ecl_command_t ecl_cmd_view;
extern const ecl_command_t ecl_cmd_history;
extern const ecl_command_t ecl_cmd_revert;
extern const ecl_command_t ecl_cmd_baseline;
extern const ecl_command_t ecl_cmd_repair;
extern const ecl_command_t ecl_cmd_adopt;

/* What the program takes in front of a command, and each command beside its own options; see options.c. */
extern const ecl_option_t ecl_cli_options[];

/* Parses the options of the program, then, where there is a command, those of the command. Returns true to go on; false
 * with the exit status, where everything was said. */
bool
ecl_cli_parse (ecl_cli_t *self, int argc, char **argv, const ecl_command_t *const *commands, ecl_exit_t *status);

#endif
