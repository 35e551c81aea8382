-- Whether the role may record last uses, and the settings of the transaction that does.
SELECT coalesce(has_table_privilege(usage, 'SELECT') AND has_table_privilege(usage, 'INSERT')
         AND has_table_privilege(usage, 'UPDATE'), false),
       set_config('lock_timeout', '250ms', true),
       set_config('statement_timeout', '500ms', true),
       set_config('synchronous_commit', 'off', true)
FROM to_regclass('hoko.key_usage') AS usage
