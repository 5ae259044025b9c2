"""What people see and type: lines, tables, bars, questions, interruptions."""
