//! Numbers of the C interface by their names there, as far as they are used here.

/// `OCI_ATTR_…`: attributes of handles; some numbers mean different things to different handles.
pub mod attribute {
    pub const DATA_SIZE: u32 = 1;
    pub const DATA_TYPE: u32 = 2;
    pub const NAME: u32 = 4;
    pub const PRECISION: u32 = 5;
    pub const SCALE: u32 = 6;
    pub const SERVER: u32 = 6;
    pub const IS_NULL: u32 = 7;
    pub const SESSION: u32 = 7;
    pub const ROW_COUNT: u32 = 9;
    pub const SQLFNCODE: u32 = 10;
    pub const PARAM_COUNT: u32 = 18;
    pub const USERNAME: u32 = 22;
    pub const PASSWORD: u32 = 23;
    pub const STMT_TYPE: u32 = 24;
    pub const CHARSET_ID: u32 = 31;
    pub const CHARSET_FORM: u32 = 32;
    pub const ROWS_RETURNED: u32 = 42;
    pub const NUM_DML_ERRORS: u32 = 73;
    pub const DML_ROW_OFFSET: u32 = 74;
    pub const PARSE_ERROR_OFFSET: u32 = 129;
    pub const SERVER_STATUS: u32 = 143;
    pub const STATEMENT: u32 = 144;
    pub const STMTCACHESIZE: u32 = 176;
    pub const BIND_COUNT: u32 = 190;
    pub const ROWS_FETCHED: u32 = 197;
    pub const STMT_IS_RETURNING: u32 = 218;
    pub const CURRENT_SCHEMA: u32 = 224;
    pub const NCHARSET_ID: u32 = 262;
    pub const CHAR_SIZE: u32 = 286;
    pub const SPOOL_GETMODE: u32 = 309;
    pub const SPOOL_BUSY_COUNT: u32 = 310;
    pub const SPOOL_OPEN_COUNT: u32 = 311;
    pub const MODULE: u32 = 366;
    pub const ACTION: u32 = 367;
    pub const DBNAME: u32 = 391;
    pub const INSTNAME: u32 = 392;
    pub const SERVICENAME: u32 = 393;
    pub const DBDOMAIN: u32 = 399;
    pub const RECEIVE_TIMEOUT: u32 = 436;
    pub const UB8_ROW_COUNT: u32 = 457;
    pub const SPOOL_AUTH: u32 = 460;
    pub const DML_ROW_COUNT_ARRAY: u32 = 469;
    pub const MAX_OPEN_CURSORS: u32 = 471;
    pub const ERROR_IS_RECOVERABLE: u32 = 472;
    pub const TRANSACTION_IN_PROGRESS: u32 = 484;
    pub const BREAK_ON_NET_TIMEOUT: u32 = 495;
    pub const MAX_IDENTIFIER_LEN: u32 = 500;
    pub const SPOOL_WAIT_TIMEOUT: u32 = 506;
    pub const CALL_TIMEOUT: u32 = 531;
    pub const JSON_COL: u32 = 534;
}

/// `OCI_HTYPE_…` and `OCI_DTYPE_…`: what is behind a handle or descriptor.
pub mod handle_type {
    pub const ENV: u32 = 1;
    pub const ERROR: u32 = 2;
    pub const SVCCTX: u32 = 3;
    pub const STMT: u32 = 4;
    pub const BIND: u32 = 5;
    pub const DEFINE: u32 = 6;
    pub const SERVER: u32 = 8;
    pub const SESSION: u32 = 9;
    pub const SPOOL: u32 = 27;
    pub const LOB: u32 = 50;
    pub const PARAM: u32 = 53;
    pub const ROWID: u32 = 54;
    pub const INTERVAL_YM: u32 = 62;
    pub const INTERVAL_DS: u32 = 63;
    pub const TIMESTAMP: u32 = 68;
    pub const TIMESTAMP_LTZ: u32 = 70;
}

/// `SQLT_…`: what a caller's buffer holds.
pub mod sqlt {
    pub const NUM: u16 = 2;
    pub const INT: u16 = 3;
    pub const VNU: u16 = 6;
    pub const DAT: u16 = 12;
    pub const BFLOAT: u16 = 21;
    pub const BDOUBLE: u16 = 22;
    pub const BIN: u16 = 23;
    pub const LBI: u16 = 24;
    pub const UIN: u16 = 68;
    pub const LVB: u16 = 95;
    pub const IBFLOAT: u16 = 100;
    pub const IBDOUBLE: u16 = 101;
    pub const RDD: u16 = 104;
    pub const CLOB: u16 = 112;
    pub const BLOB: u16 = 113;
    pub const ODT: u16 = 156;
    pub const TIMESTAMP: u16 = 187;
    pub const TIMESTAMP_TZ: u16 = 188;
    pub const INTERVAL_YM: u16 = 189;
    pub const INTERVAL_DS: u16 = 190;
    pub const TIMESTAMP_LTZ: u16 = 232;
}
